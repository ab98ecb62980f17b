"""The embedded servers and their secrets."""
