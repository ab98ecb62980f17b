"""The fields of a candle in TypeScript, for the page of `homma serve`."""

from collections.abc import Iterable
from typing import Final

from homma.core.fields import CandleField, Kind
from homma.serve.wire import FIELDS, START, meaning_of
from homma.topics.candle import may_be_null

_TYPES: Final[dict[Kind, str]] = {
    "string": "string",
    "double": "number",
    "decimal": "number",
    "long": "number",
    "int": "number",
    "boolean": "boolean",
    "instant": "string",
}


def fields() -> str:
    """The module: the type of a candle, and lists of its fields."""
    properties = [line for field in FIELDS for line in _property(field)]
    return f"""\
// Rendered by `homma render` from the table of fields.

/** A candle, as the API and the live stream send it. */
export interface Candle {{
{_lines(properties)}
}}

/** All fields but `time`, in the order of records. */
export const FIELDS = [{_names(FIELDS)}] as const;

/** The fields that are prices. */
export const PRICES = [{_names(f for f in FIELDS if f.unit == "price")}] as const;

/** The fields that are amounts. */
export const AMOUNTS = [{_names(f for f in FIELDS if f.unit not in ("", "price"))}] as const;
"""


def _property(field: CandleField) -> list[str]:
    null = " | null" if may_be_null(field) else ""
    lines = [f"/** {meaning_of(field)} */", f"readonly {field.json}: {_TYPES[field.kind]}{null};"]
    if field is START:
        lines += ["/** The same in seconds since the epoch. */", "readonly time: number;"]
    return lines


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _names(fields: Iterable[CandleField]) -> str:
    return ", ".join(f'"{field.json}"' for field in fields)
