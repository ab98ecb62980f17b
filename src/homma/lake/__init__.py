"""Ticks and candles in Iceberg tables."""
