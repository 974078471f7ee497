"""Datasets in folders: `dataset.parquet` for people and tools, `dataset.json` for its record."""
