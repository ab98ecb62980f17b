"""Reads feed definitions from TOML. Every error names the file, the line and the remedy."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import polars as pl
from polars.exceptions import PolarsError

from homma.core.fields import TickField
from homma.errors import SettingError
from homma.feed.definitions.definition import (
    BY_NAME,
    FORMATS,
    RECORD_KEY,
    RECORD_TIMESTAMP,
    Empty,
    FeedDefinition,
    FieldOrigin,
)
from homma.feed.instants import Unit

#: The table of definitions in homma.toml.
TABLE: Final = "feeds"
#: The keys of a definition beside the fields of a tick, and the type of each.
_KEYS: Final[Mapping[str, type]] = {
    "format": str,
    "about": str,
    "where": str,
    "each": str,
    "topic": str,
    "columns": list,
    "separator": str,
    "skip_lines": int,
}
_CSV_KEYS: Final = ("columns", "separator", "skip_lines")
#: The keys of a field, by the kinds of fields that have them.
_EVERY: Final = ("string", "double", "decimal", "long", "instant", "boolean")
_FIELD_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "field": _EVERY,
    "null": _EVERY,
    "empty": ("double", "decimal"),
    "replace": ("string",),
    "values": ("string", "boolean"),
    "decimal": ("double", "decimal"),
    "scale": ("double", "decimal"),
    "unit": ("instant",),
    "format": ("instant",),
    "zone": ("instant",),
}
_MAX_SCALE_DIGITS: Final = 12
_UNITS: Final = tuple(unit for unit in get_args(Unit) if unit != "text")


def read_definitions(text: str, file: str) -> dict[str, FeedDefinition]:
    """The definitions of a TOML text, by name.

    The text has tables such as [feeds.oanda]. Without any, it is one definition, which has the name
    of the file.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{file} is not valid TOML ({error})", "fix that line") from error
    tables = content.get(TABLE)
    if tables is None:
        name = re.split(r"[/\\]", file)[-1].removesuffix(".toml")
        return {name: _Table(text, file, (), name).definition(content)}
    if not isinstance(tables, dict):
        raise SettingError(
            f"{file}: {TABLE} is not a table of definitions", f"write [{TABLE}.NAME]"
        )
    return {
        name: _Table(text, file, (TABLE, name), name).definition(table)
        for name, table in tables.items()
    }


@dataclass(frozen=True, slots=True)
class _Table:
    """One definition in a text, for errors that name the line."""

    text: str
    file: str
    header: tuple[str, ...]
    name: str

    def definition(self, table: Any) -> FeedDefinition:
        if not isinstance(table, dict):
            raise self.error("", "is not a table", f"write [{TABLE}.{self.name}]")
        for key, value in table.items():
            self._check_key(key, value)
        if table.get("format") not in FORMATS:
            problem = f"is {table['format']!r}" if "format" in table else "is missing"
            raise self.error("format", problem, f"write one of {', '.join(FORMATS)}")
        if table["format"] != "csv":
            for key in _CSV_KEYS:
                if key in table:
                    raise self.error(key, "is only of CSV", 'write format = "csv", or remove it')
        definition = FeedDefinition(
            name=self.name,
            format=table["format"],
            fields={
                name: self._origin(row, table[name])
                for name, row in BY_NAME.items()
                if name in table
            },
            about=table.get("about", ""),
            where=table.get("where", ""),
            each=table.get("each", ""),
            topic=table.get("topic", ""),
            columns=tuple(map(str, table.get("columns", ()))),
            separator=table.get("separator", ","),
            skip_lines=table.get("skip_lines", 0),
        )
        self._check(definition)
        return definition

    def error(self, key: str, problem: str, remedy: str) -> SettingError:
        """An error of a key, with the line that it is in."""
        line = _line_of(self.text, self.header, key)
        subject = f"{key} {problem}" if key else f"{self.name} {problem}"
        return SettingError(f"{self.file}, line {line}: {subject}", remedy)

    def _check_key(self, key: str, value: Any) -> None:
        if key in BY_NAME:
            return
        if key not in _KEYS:
            raise self.error(
                key, "is not part of a feed definition", _did_you_mean(key, (*BY_NAME, *_KEYS))
            )
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            kinds = {str: "a text", int: "a whole number", list: "a list of names"}
            raise self.error(key, f"is not {kinds[_KEYS[key]]}", "see docs/feeds.md")

    def _origin(self, row: TickField, value: Any) -> FieldOrigin:
        name = row.column
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            if row.kind == "instant":
                raise self.error(name, "cannot be the same in all ticks", "write { field = … }")
            return FieldOrigin(constant=str(value))
        if not isinstance(value, dict):
            raise self.error(
                name, "is neither a value nor a table", f'write {name} = {{ field = "…" }}'
            )
        for key in value:
            if key not in _FIELD_KEYS:
                remedy = _did_you_mean(key, _FIELD_KEYS)
                raise self.error(name, f"has {key}, which is not known", remedy)
            if row.kind not in _FIELD_KEYS[key]:
                fields = ", ".join(r.column for r in BY_NAME.values() if r.kind in _FIELD_KEYS[key])
                raise self.error(name, f"has {key}, which only {fields} can have", "remove it")
        return FieldOrigin(
            paths=self._paths(name, value.get("field")),
            replace=self._texts(name, "replace", value.get("replace", {})),
            values=self._texts(name, "values", value.get("values", {})),
            decimal=self._decimal(name, value.get("decimal", ".")),
            scale_digits=self._scale_digits(name, value.get("scale", 1)),
            nulls=tuple(map(_text, _listed(value.get("null", [])))),
            empty=self._empty(name, value.get("empty", "absent")),
            unit=self._unit(name, value),
            pattern=self._pattern(name, value),
            zone=self._zone(name, value.get("zone", "")),
        )

    def _paths(self, name: str, field: Any) -> tuple[str, ...]:
        paths = tuple(_listed(field))
        if not paths or not all(isinstance(path, str) and path for path in paths):
            raise self.error(
                name, "does not say which field it is", f'write {name} = {{ field = "…" }}'
            )
        if len(paths) > 1 and BY_NAME[name].kind not in ("instant", "string"):
            raise self.error(name, "joins several fields to a number", "name one field")
        return paths

    def _texts(self, name: str, key: str, table: Any) -> dict[str, str]:
        if not isinstance(table, dict) or not all(
            isinstance(text, str | bool) for text in table.values()
        ):
            raise self.error(name, f"has {key} without texts", f'write {key} = {{ "A" = "B" }}')
        return {text: _text(replacement) for text, replacement in table.items()}

    def _decimal(self, name: str, value: Any) -> str:
        if value not in (".", ","):
            raise self.error(name, f"has decimal = {value!r}", 'write "." or ","')
        return str(value)

    def _scale_digits(self, name: str, scale: Any) -> int:
        digits = {float(f"1e-{digits}"): digits for digits in range(_MAX_SCALE_DIGITS + 1)}
        is_number = isinstance(scale, int | float)
        if not is_number or float(scale) not in digits:
            raise self.error(
                name,
                f"has scale = {scale!r}",
                "write a power of ten from 1e-12 to 1, such as 1e-9",
            )
        return digits[float(scale)]

    def _empty(self, name: str, value: Any) -> Empty:
        if value not in get_args(Empty):
            raise self.error(name, f"has empty = {value!r}", 'write "absent" or "unchanged"')
        return value  # type: ignore[no-any-return]

    def _unit(self, name: str, value: Mapping[str, Any]) -> Unit:
        unit = value.get("unit", "text")
        if unit == "text":
            return "text"
        if unit not in _UNITS:
            raise self.error(name, f"has unit = {unit!r}", f"write one of {', '.join(_UNITS)}")
        if "format" in value or "zone" in value:
            raise self.error(
                name, "has both a unit and a format or zone", "keep unit for numbers only"
            )
        return unit  # type: ignore[no-any-return]

    def _pattern(self, name: str, value: Mapping[str, Any]) -> str:
        pattern = value.get("format", "")
        if not isinstance(pattern, str):
            raise self.error(name, "has a format that is no text", 'write "%d.%m.%Y %H:%M:%S"')
        if pattern and not _is_pattern(pattern):
            raise self.error(
                name, f"has format = {pattern!r}, which reads no dates", 'write "%d.%m.%Y %H:%M:%S"'
            )
        return pattern

    def _zone(self, name: str, zone: Any) -> str:
        try:
            if zone:
                ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
            matches = difflib.get_close_matches(str(zone), available_timezones(), 1)
            remedy = f"did you mean {matches[0]}?" if matches else "write Europe/Berlin, or UTC"
            raise self.error(name, f"has zone = {zone!r}, which does not exist", remedy) from error
        return str(zone)

    def _check(self, definition: FeedDefinition) -> None:
        """Check what several keys say together."""
        fields = definition.fields
        if "date_time" not in fields:
            raise self.error("", "has no date_time", 'write date_time = { field = "…" }')
        if not fields.keys() & {"mid", "price"} and not {"ask", "bid"} <= fields.keys():
            raise self.error("", "has no prices", "write ask and bid, or mid, or price for trades")
        if len(definition.separator.encode()) != 1:
            raise self.error("separator", "is not one ASCII character", 'write "," or ";" or "\\t"')
        if definition.each and definition.format not in ("json", "ndjson"):
            raise self.error("each", "is only of JSON", "remove it")
        has_many_series = any(fields[name].paths for name in ("source", "symbol") if name in fields)
        for name, origin in fields.items():
            if origin.empty == "unchanged" and has_many_series:
                raise self.error(
                    name,
                    'has empty = "unchanged", but the records are of several series',
                    "name the source and the symbol as constants, or remove it",
                )
        if definition.where:
            self._check_condition(definition.where)
        if definition.columns:
            self._check_columns(definition)

    def _check_condition(self, where: str) -> None:
        try:
            pl.sql_expr(where)
        except PolarsError as error:
            raise self.error(
                "where",
                f"is not a condition ({str(error).splitlines()[0]})",
                "write a condition such as type = 'PRICE'; paths with dots are in double quotes",
            ) from error

    def _check_columns(self, definition: FeedDefinition) -> None:
        for name, origin in definition.fields.items():
            for path in origin.paths:
                if path not in (*definition.columns, RECORD_TIMESTAMP, RECORD_KEY):
                    raise self.error(
                        name,
                        f"is column {path!r}, which is not among columns",
                        _did_you_mean(path, definition.columns),
                    )


def _is_pattern(pattern: str) -> bool:
    """Whether a pattern reads the dates that it writes."""
    dates = pl.Series([datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)])
    try:
        texts = dates.dt.to_string(pattern)
        return not texts.str.to_datetime(pattern, time_unit="us", strict=False).has_nulls()
    except PolarsError:
        return False


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    known = list(known)
    matches = difflib.get_close_matches(name, known, 1)
    return f"did you mean {matches[0]}?" if matches else f"write one of {', '.join(known)}"


def table_text(text: str, name: str) -> str:
    """The lines of a definition in a text, or the whole text if it is one definition."""
    lines = text.splitlines()
    tables = _tables(lines)
    header = (TABLE, name)
    kept = [line for line, table in zip(lines, tables, strict=True) if table[:2] == header]
    return "\n".join(kept) + "\n" if kept else text


def _tables(lines: list[str]) -> list[tuple[str, ...]]:
    """The table that each line belongs to; a comment before a header is of the table before."""
    table: tuple[str, ...] = ()
    tables: list[tuple[str, ...]] = []
    for line in lines:
        heading = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$", line)
        if heading:
            table = tuple(part.strip(" \"'") for part in heading[1].split("."))
        tables.append(table)
    return tables


def _line_of(text: str, header: tuple[str, ...], key: str) -> int:
    """The line of a key within a table, or of the table."""
    lines = text.splitlines()
    tables = _tables(lines)
    line_of_table = tables.index(header) + 1 if header in tables else 1
    if not key:
        return line_of_table
    of_key = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]")
    for number, (line, table) in enumerate(zip(lines, tables, strict=True), 1):
        if table == (*header, key) or (table == header and of_key.match(line)):
            return number
    return line_of_table
