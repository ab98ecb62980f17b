"""The numbers of a JSON field as they were written, which a parser turns into doubles. Pure."""

import json
import re
from typing import Any

import polars as pl


def raw_numbers(parsed: pl.Series, lines: list[bytes], joined: bytes, name: str) -> pl.Series:
    """The text of a number, or of a string, that a field has in each line; null where it is absent.

    `parsed` is the field as the parser read it, null where it is absent, and `joined` has all lines
    with a newline between them. A value of another type comes out as a text that is no number. A
    number of up to 15 digits may come out in another notation.
    """
    count = parsed.len() - parsed.null_count()
    if count == 0 or not _may_be_rounded(joined, name):
        return parsed
    is_present = parsed.is_not_null()
    # In flat objects without escapes, the name in quotes before a colon is a key.
    if b"\\" not in joined and joined.count(b"{") == len(lines):
        values = _values(joined, name)
        # More if a line has the key twice: then the first value counts.
        if values.len() == count:
            raw = values.str.strip_chars('"')
            if count == parsed.len():
                return raw.alias(parsed.name)
            return parsed.scatter(is_present.arg_true(), raw)
    raw_texts = [_raw_number(lines[row], name) for row in is_present.arg_true()]
    return parsed.scatter(is_present.arg_true(), pl.Series(raw_texts, dtype=pl.String))


def _may_be_rounded(joined: bytes, name: str) -> bool:
    """Whether the parser may have changed a number of a field.

    It gives strings and whole numbers as they are, and a decimal of up to 15 digits is the shortest
    one of its double.
    """
    # A name with escapes cannot be searched for.
    if b"\\" in joined:
        return True
    # Python's own search: polars would need two more copies of all lines, which costs five times
    # as much.
    space = r"[ \t\r]*+"
    # The end of the name is found faster than all of it, as other names begin alike. A name with
    # the same end can only make a number look rounded that is not.
    long = rf'{name[-2:]}"{space}:{space}-?[0-9.]{{0,16}}+[0-9.eE]'
    return re.search(long.encode(), joined) is not None


def _values(joined: bytes, name: str) -> pl.Series:
    """The values of all fields with a name, strings with their quotes, but no null."""
    key = rf'"{name}"[ \t\r]*:[ \t\r]*'
    pairs = pl.Series([joined.decode()]).str.extract_all(rf'{key}(?:"[^"]*"|[^",}}\s]+)').explode()
    values = pairs.str.replace(f"^{key}", "")
    return values.filter(values != "null")


def _raw_number(line: bytes, name: str) -> str:
    try:
        value = json.loads(
            line, object_pairs_hook=_first_values, parse_float=str, parse_int=str
        ).get(name)
    except RecursionError:
        # Nested deeper than Python reads.
        return ""
    return value if isinstance(value, str) else ""


def _first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    return first
