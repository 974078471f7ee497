"""The pure part: bytes in, values out. No network, no files, no clock."""
