"""JSON records by columns: the values at paths of many records, as texts. Pure.

A path names keys of objects and places in arrays, counted from 0, with dots between them: the path
bids.0.price is that of 1.09 in {"bids": [{"price": "1.09"}]}. A path that begins with / is one of
the message, where a message has several records.

polars' reader takes only the paths, by a schema made of them. It writes an object or array inside
of a text without escapes, and rounds numbers of more than 15 digits. Batches where that matters
are read by Python's parser.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from homma.topics.codec import well_formed

#: The path of a message that is an array of records.
ITSELF: Final = "."
_OF_MESSAGE: Final = "/"
_VALUE: Final = "value"


@dataclass(frozen=True, slots=True)
class FeedRecords:
    """The records of messages.

    `values` has a column of texts for each path, null where a record has no such value. `message`
    is the index of the message of each record, in order. `malformed` are the indices of messages
    that are not JSON.
    """

    values: pl.DataFrame
    message: pl.Series
    malformed: list[int]


@dataclass(slots=True)
class _Node:
    """What is read of a value: itself as a text, values inside of it, or both."""

    is_text: bool = False
    children: dict[str, "_Node"] = field(default_factory=dict)

    @classmethod
    def of_paths(cls, paths: Iterable[str]) -> "_Node":
        root = cls()
        for path in paths:
            node = root
            for key in path.split("."):
                node = node.children.setdefault(key, cls())
            node.is_text = True
        return root

    @property
    def is_array(self) -> bool:
        return bool(self.children) and all(key.isdecimal() for key in self.children)

    def elements(self) -> "_Node":
        """What is read of the elements of an array."""
        merged = _Node()
        for child in self.children.values():
            merged.merge(child)
        return merged

    def merge(self, other: "_Node") -> None:
        self.is_text |= other.is_text
        for key, child in other.children.items():
            self.children.setdefault(key, _Node()).merge(child)

    @property
    def is_by_text(self) -> bool:
        """Whether the reader takes this as a text, and values inside of it are read from that."""
        return self.is_text or not self.children

    def dtype(self) -> pl.DataType:
        if self.is_by_text:
            return pl.String()
        if self.is_array:
            return pl.List(self.elements().dtype())
        return pl.Struct({key: child.dtype() for key, child in self.children.items()})

    def reads_again(self) -> bool:
        """Whether a value is read from a text that the reader wrote."""
        if self.is_by_text:
            return bool(self.children)
        children = [self.elements()] if self.is_array else list(self.children.values())
        return any(child.reads_again() for child in children)


class JsonReader:
    """Reads messages by columns.

    paths: the paths of the records. each: the path of the records within a message, if it has
    several; a message without it is one record. exact: the paths of numbers that must keep all
    their digits.
    """

    def __init__(self, paths: Sequence[str], each: str = "", exact: Sequence[str] = ()) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._each = each
        self._exact = exact
        of_record = [path for path in self._paths if not path.startswith(_OF_MESSAGE)]
        self._record = _Node.of_paths(of_record)
        of_message = [path[1:] for path in self._paths if path.startswith(_OF_MESSAGE)]
        self._message = _Node.of_paths([*of_message, *([each] if each not in ("", ITSELF) else ())])
        self._may_escape = bool(each) or self._record.reads_again() or self._message.reads_again()

    def read(self, messages: Sequence[bytes]) -> FeedRecords:
        """The values of the records in messages."""
        lines = [message.replace(b"\n", b"\r") for message in messages]
        joined = b"\n".join(lines)
        malformed: list[int] = []
        # The reader takes a number or null for a record without values.
        if not all(map(_is_container, lines)) or not _is_readable(joined, len(lines)):
            is_good = well_formed_values(lines, joined)
            malformed = [index for index, good in enumerate(is_good) if not good]
            lines = [line if good else b"{}" for line, good in zip(lines, is_good, strict=True)]
            joined = b"\n".join(lines)
        if self._needs_python(joined):
            values, message = self._by_python(lines)
        else:
            values, message = self._by_columns(lines, joined)
        if malformed:
            of_good = ~message.is_in(malformed)
            values, message = values.filter(of_good), message.filter(of_good)
        return FeedRecords(values, message, malformed)

    def _needs_python(self, joined: bytes) -> bool:
        if b"\\" in joined and (self._may_escape or self._exact):
            return True
        return any(_may_be_rounded(joined, path) for path in self._exact)

    def _by_columns(self, lines: list[bytes], joined: bytes) -> tuple[pl.DataFrame, pl.Series]:
        height = len(lines)
        message = pl.int_range(height, dtype=pl.UInt32, eager=True).alias("message")
        if not self._each:
            values = _values(joined, height, self._record)
            return pl.DataFrame({path: values[path] for path in self._paths}), message
        texts = pl.Series(lines, dtype=pl.Binary).cast(pl.String).str.strip_chars_start(" \t\r")
        of_message: Mapping[str, pl.Series] = {}
        if self._message.children:
            of_message = _values(joined, height, self._message)
        within = texts if self._each == ITSELF else of_message[self._each]
        records = pl.DataFrame({"message": message, "record": _elements(within, texts)}).explode(
            "record"
        )
        # An empty array has no record.
        records = records.filter(pl.col("record").is_not_null())
        record_texts = "\n".join(records["record"].to_list()).encode()
        of_record = _values(record_texts, records.height, self._record)
        columns = {
            path: of_message[path[1:]].gather(records["message"])
            if path.startswith(_OF_MESSAGE)
            else of_record[path]
            for path in self._paths
        }
        return pl.DataFrame(columns), records["message"]

    def _by_python(self, lines: list[bytes]) -> tuple[pl.DataFrame, pl.Series]:
        rows: list[list[str | None]] = []
        indices: list[int] = []
        for index, line in enumerate(lines):
            message = json.loads(
                line, object_pairs_hook=_first_values, parse_float=_Number, parse_int=_Number
            )
            for record in self._records(message):
                rows.append(
                    [
                        _text(_at(message, path[1:]))
                        if path.startswith(_OF_MESSAGE)
                        else _text(_at(record, path))
                        for path in self._paths
                    ]
                )
                indices.append(index)
        schema = dict.fromkeys(self._paths, pl.String)
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame, pl.Series("message", indices, dtype=pl.UInt32)

    def _records(self, message: Any) -> Iterator[Any]:
        within = message
        if self._each not in ("", ITSELF):
            within = _at(message, self._each)
            if within is None:
                within = message
        if self._each and isinstance(within, list):
            yield from (record for record in within if record is not None)
        else:
            yield within


def well_formed_values(lines: list[bytes], joined: bytes) -> list[bool]:
    """Whether each line is a JSON object or array."""
    is_object = well_formed(lines, joined)
    return [
        good or (line.lstrip()[:1] == b"[" and _is_readable(line, 1))
        for line, good in zip(lines, is_object, strict=True)
    ]


def _is_container(line: bytes) -> bool:
    """Whether a line begins as an object or array does."""
    return line[:1] in (b"{", b"[") or line.lstrip()[:1] in (b"{", b"[")


def _is_readable(joined: bytes, height: int) -> bool:
    """Whether the reader takes all lines, whatever values they have."""
    try:
        return _ndjson(joined, pl.Schema({_VALUE: pl.String()})).height == height
    except pl.exceptions.ComputeError:
        return False


def _ndjson(joined: bytes, schema: pl.Schema) -> pl.DataFrame:
    # An empty object comes first, as in topics/codec.py.
    return pl.read_ndjson(b"{}\n" + joined, schema=schema, ignore_errors=True).slice(1)


def _values(joined: bytes, height: int, root: _Node) -> dict[str, pl.Series]:
    """The texts at the paths below a node, of each line."""
    if root.is_array:
        # The reader takes only objects.
        if height:
            joined = b'{"value":' + joined.replace(b"\n", b'}\n{"value":') + b"}"
        return _leaves(_ndjson(joined, pl.Schema({_VALUE: root.dtype()}))[_VALUE], root, "")
    schema = pl.Schema({key: child.dtype() for key, child in root.children.items()})
    frame = _ndjson(joined, schema) if height else schema.to_frame()
    values: dict[str, pl.Series] = {}
    for key, child in root.children.items():
        values |= _leaves(frame[key], child, key)
    return values


def _leaves(column: pl.Series, node: _Node, path: str) -> dict[str, pl.Series]:
    """The texts at the paths below a node, whose values are in a column."""
    values: dict[str, pl.Series] = {}
    if column.dtype == pl.String:
        if node.is_text:
            values[path] = column
        if node.children:
            texts = "\n".join(text or "{}" for text in _containers(column)).encode()
            below = _values(texts, column.len(), _Node(children=node.children))
            values |= {_below(path, key): text for key, text in below.items()}
        return values
    for key, child in node.children.items():
        inner = (
            column.list.get(int(key), null_on_oob=True)
            if node.is_array
            else column.struct.field(key)
        )
        values |= _leaves(inner, child, _below(path, key))
    return values


def _containers(column: pl.Series) -> list[str | None]:
    """The texts that are objects or arrays."""
    return column.set(~column.str.contains(r"^[\[{]"), None).to_list()


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _elements(within: pl.Series, messages: pl.Series) -> pl.Series:
    """Lists of the texts of records, from the texts of arrays, of objects, or of neither."""
    is_array = within.str.starts_with("[").fill_null(value=False)
    rows = is_array.arg_true()
    arrays = pl.Series([], dtype=pl.List(pl.String))
    if rows.len():
        joined = "\n".join(f'{{"value":{text}}}' for text in within.gather(rows)).encode()
        arrays = _ndjson(joined, pl.Schema({_VALUE: pl.List(pl.String)}))[_VALUE]
    single = pl.concat_list(pl.coalesce(pl.lit(within), pl.lit(messages)))
    return (
        pl.select(record=single, at=pl.int_range(within.len(), dtype=pl.UInt32))
        .join(
            pl.DataFrame({"at": rows, "array": arrays}),
            on="at",
            how="left",
            maintain_order="left",
        )
        .select(pl.coalesce("array", "record"))
        .to_series()
    )


def _may_be_rounded(joined: bytes, path: str) -> bool:
    """Whether the reader may have rounded a number at a path."""
    key = path.rsplit(".", maxsplit=1)[-1].removeprefix(_OF_MESSAGE)
    before = r"[\[,]" if key.isdecimal() else rf'"{re.escape(key)}"[ \t\r]*+:'
    long = rf"{before}[ \t\r]*+-?[0-9.]{{0,16}}+[0-9.eE]"
    return re.search(long.encode(), joined) is not None


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        values.setdefault(key, value)
    return values


def _at(value: Any, path: str) -> Any:
    """The value at a path; None if there is none."""
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def _text(value: Any) -> str | None:
    """A value as the columns have it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, default=str)
