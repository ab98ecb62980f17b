"""Processes, their data folder and their ports."""
