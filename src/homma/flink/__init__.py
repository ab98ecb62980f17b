"""Candles from Apache Flink: the SQL, the job, its state and its cluster."""
