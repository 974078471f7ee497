"""The indexer: keeps what the chain said, verbatim, and where it stands. Everything else is derived from that."""
