"""The versions of what homma stores: candle records, offset metadata, lake tables, data folder.

    version  since  what changed
    1        0.1    the first format; nothing stored says so
    2        0.2    intervals are stored by code; candles have a tickCount
    3        0.3    ticks may be trades, and candles of trades have exact sums

A newer homma reads all older versions and upgrades them. An older one refuses a newer version: it
would misread the data. A field whose `since` is newer raises the current version.
"""

import re
from collections.abc import Mapping
from typing import Final

from homma.core.fields import CANDLE_FIELDS, TICK_FIELDS
from homma.errors import StateError

#: The version that this homma writes, and the newest one that it can read.
CURRENT: Final = max(2, *(field.since for field in (*TICK_FIELDS, *CANDLE_FIELDS)))
#: The first version with candles of trades.
TRADES_SINCE: Final = 3
#: The name under which a version is stored; what lacks it has version 1.
FORMAT: Final = "format"
_VERSION: Final = re.compile("[1-9][0-9]{0,3}")


def format_of(version: int, what: str) -> int:
    """Return the version of something stored. Raises StateError if a newer homma wrote it."""
    if version > CURRENT:
        raise StateError(
            f"{what} was written by a newer homma (format {version}; this homma reads up to "
            f"{CURRENT})",
            "upgrade this homma",
        )
    return version


def format_of_headers(headers: Mapping[str, str | bytes | None], what: str) -> int:
    """Return the version of a record. Raises StateError if a newer homma wrote the record."""
    text = headers.get(FORMAT) or "1"
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    # The header of another program may have the same name.
    return format_of(int(text) if _VERSION.fullmatch(text) else 1, what)
