"""The command line: the one place that reads flags, builds clients and prints."""
