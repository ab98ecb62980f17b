"""Tables of text for a terminal."""

from collections.abc import Collection

import polars as pl


def text_table(cells: pl.DataFrame, right: Collection[str]) -> list[str]:
    """The lines of a table whose first line has the names of the columns.

    Columns named in `right` are aligned to the right.
    """
    columns: list[list[str]] = []
    for name in cells.columns:
        texts = [name, *cells[name].cast(pl.String).fill_null("").to_list()]
        width = max(map(len, texts))
        columns.append([t.rjust(width) if name in right else t.ljust(width) for t in texts])
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
