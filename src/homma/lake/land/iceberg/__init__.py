"""The sinks that write to Iceberg tables."""
