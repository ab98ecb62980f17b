"""Durations as text."""

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


def parse_duration(text: str) -> timedelta:
    """A duration such as 250ms, 2s, 10min, 4h, 7d or 0. Raises ValueError for other texts."""
    if text.strip() == "0":
        return timedelta(0)
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", text)
    if not match or match[2] not in UNITS:
        raise ValueError(f"{text!r} is not a duration: use a number and one of {', '.join(UNITS)}")
    return float(match[1]) * UNITS[match[2]]


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back."""
    if not value:
        return "0s"
    for unit in reversed(UNITS):
        if value >= UNITS[unit] and value % UNITS[unit] == timedelta(0):
            return f"{value // UNITS[unit]}{unit}"
    return f"{value / UNITS['ms']:g}ms"


def microseconds(value: timedelta) -> int:
    """A duration in microseconds."""
    return value // timedelta(microseconds=1)
