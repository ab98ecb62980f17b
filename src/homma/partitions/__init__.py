"""Work through the partitions of a topic in transactions: what `aggregate` and `ingest` share."""
