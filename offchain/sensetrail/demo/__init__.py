"""The demonstration: the whole way once, from two sensors in a room to audited models, with attackers on the way."""
