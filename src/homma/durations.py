"""Durations as people write them."""

import re
from datetime import timedelta
from typing import Final

UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def duration(text: str) -> timedelta:
    """A duration such as 250ms, 2s, 10min, 4h or 7d; ValueError says what it may be."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", text)
    if not found or found[2] not in UNITS:
        raise ValueError(f"{text!r} is no duration: a number and one of {', '.join(UNITS)}")
    return float(found[1]) * UNITS[found[2]]


def duration_text(value: timedelta) -> str:
    """The shortest text that `duration` reads back."""
    if not value:
        return "0s"
    for unit in reversed(UNITS):
        if value >= UNITS[unit] and value % UNITS[unit] == timedelta(0):
            return f"{value // UNITS[unit]}{unit}"
    return f"{value / UNITS['ms']:g}ms"


def microseconds(value: timedelta) -> int:
    """A duration as core wants it."""
    return value // timedelta(microseconds=1)
