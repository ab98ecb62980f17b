"""Settings by name, and their texts (from flags, variables and homma.toml) as values."""

from dataclasses import MISSING, Field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from homma.core.calendar import Calendar, calendar_of
from homma.durations import format_duration, parse_duration
from homma.settings import STAGES


def all_settings() -> dict[str, Field[Any]]:
    """Return every setting by name."""
    return {row.name: row for stage in STAGES for row in fields(stage)}


def has_default(row: Field[Any]) -> bool:
    """Whether a setting may be omitted."""
    return row.default is not MISSING


def format_value(value: Any) -> str:
    """Return the text of a value, which `parse` accepts."""
    if isinstance(value, timedelta):
        return format_duration(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(row: Field[Any], text: str) -> Any:
    """Parse the text of a setting; ValueError names the accepted values."""
    kind = row.type
    if kind is timedelta:
        return parse_duration(text)
    if kind is Calendar:
        return calendar_of(text.split(","))
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() in ("true", "1")
    if kind in (int, float, Path):
        return kind(text)
    choices = get_args(kind)
    if choices and text not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text
