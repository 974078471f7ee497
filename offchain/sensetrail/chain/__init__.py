"""The chain: the only place that talks to a node. Speaks the node's language, gives core's values."""
