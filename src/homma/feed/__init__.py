"""Ticks into `stock_ticks`: made up, or recorded."""
