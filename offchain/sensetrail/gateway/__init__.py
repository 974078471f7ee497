"""The gateway: keeps readings until the chain has them, and brings them there."""
