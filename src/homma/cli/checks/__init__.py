"""The checks of `homma doctor`."""
