"""Compares candles with the ticks of the lake, and corrects them."""
