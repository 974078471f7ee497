"""The indexer: keeps what the chain said, verbatim and proven, and where it stands. All else is derived from that."""
