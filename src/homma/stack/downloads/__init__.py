"""Jars and archives, and the locks that pin them."""
