"""Texts of the files that follow from the code's tables. Pure."""
