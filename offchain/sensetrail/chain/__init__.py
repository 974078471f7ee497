"""The chain: the only place that imports web3. Speaks the node's language, gives core's values."""
