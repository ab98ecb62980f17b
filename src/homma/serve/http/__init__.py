"""Requests, answers and connections."""
