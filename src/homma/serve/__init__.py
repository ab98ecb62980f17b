"""Candles for people and programs: the page and the API."""
