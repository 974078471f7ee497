"""Machine learning on sensor data, provable from the reading to the model."""

__version__ = "0.1.0"
