"""Sensors: where readings come from."""
