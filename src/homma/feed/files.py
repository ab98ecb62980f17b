"""Files of recorded ticks: the supported formats, read in bounded memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Final, Protocol

import polars as pl
from polars.exceptions import PolarsError

from homma.errors import FeedError
from homma.feed.definitions.definition import FeedDefinition
from homma.feed.definitions.json_records import ITSELF, JsonReader
from homma.feed.definitions.tick_reader import TickReader

#: Rows per batch.
BATCH: Final = 50_000
#: The fields of an NDJSON file are inferred from this many rows.
_SAMPLE: Final = 1_000
_COMPRESSED: Final = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text file is laid out. columns: of CSV without a header."""

    separator: str = ","
    columns: tuple[str, ...] = ()
    skip_lines: int = 0


class Rows(Protocol):
    """The rows of a file, read in bounded memory."""

    @property
    def schema(self) -> pl.Schema:
        """The columns that are known before the file is read."""

    def batches(self, reader: TickReader) -> Iterator[pl.DataFrame]:
        """The columns or paths of a reader, in file order, BATCH rows at a time."""

    def count(self) -> int | None:
        """The number of rows, or None if only reading the file can tell."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a file with columns."""

    path: Path
    rows: pl.LazyFrame

    @property
    def schema(self) -> pl.Schema:
        """The columns of the file."""
        return self.rows.collect_schema()

    def batches(self, reader: TickReader) -> Iterator[pl.DataFrame]:
        """The columns of a reader."""
        try:
            yield from self.rows.select(reader.paths).collect_batches(
                chunk_size=BATCH, engine="streaming"
            )
        except (PolarsError, OSError) as error:
            raise unreadable_error(self.path, error) from error

    def count(self) -> int | None:
        """The number of rows of a Parquet file."""
        if self.path.suffix.lower() != ".parquet":
            return None
        try:
            return int(self.rows.select(pl.len()).collect().item())
        except (PolarsError, OSError) as error:
            raise unreadable_error(self.path, error) from error


@dataclass(frozen=True, slots=True)
class JsonRows:
    """The records of a JSON file: one in each line, or one document of many."""

    path: Path
    definition: FeedDefinition
    schema: pl.Schema = field(default_factory=pl.Schema)

    def batches(self, reader: TickReader) -> Iterator[pl.DataFrame]:
        """The paths of a reader."""
        each, document = self.definition.each, self._document()
        # A document that is an array has a record in each element.
        if document is not None and not each and document.lstrip().startswith(b"["):
            each = ITSELF
        json_reader = JsonReader(reader.paths, each, reader.exact_paths)
        first_line = 1
        for lines in [[document]] if document is not None else self._lines():
            numbers = [first_line + index for index, line in enumerate(lines) if line.strip()]
            # A blank line is no record.
            records = json_reader.read([line for line in lines if line.strip()])
            if records.malformed:
                line = numbers[records.malformed[0]]
                raise FeedError(
                    f"{self.path} cannot be read at line {line} (it is not JSON)", "fix the line"
                )
            first_line += len(lines)
            yield from records.values.iter_slices(BATCH)

    def _document(self) -> bytes | None:
        """The file in one line, if it is one document."""
        if ".json" not in self.path.suffixes:
            return None
        text = b" ".join(line for lines in self._lines() for line in lines)
        try:
            json.loads(text)
        except ValueError:
            return None
        return text

    def _lines(self) -> Iterator[list[bytes]]:
        try:
            for batch in pl.scan_lines(escape(str(self.path))).collect_batches(
                chunk_size=BATCH, engine="streaming"
            ):
                yield [line.encode() for line in batch.to_series()]
        except (PolarsError, OSError) as error:
            raise unreadable_error(self.path, error) from error

    def count(self) -> int | None:
        """Only reading the file can tell."""
        return None


def _parquet(path: Path, layout: Layout) -> pl.LazyFrame:
    del layout
    return pl.scan_parquet(path, glob=False)


def _csv(path: Path, layout: Layout) -> pl.LazyFrame:
    # Read as text, so that our error for an invalid number names the row and the column.
    rows = pl.scan_csv(
        path,
        separator=layout.separator,
        infer_schema=False,
        glob=False,
        has_header=not layout.columns,
        skip_rows=layout.skip_lines,
    )
    if layout.columns:
        # A file may lack the last ones: a column that is needed is missed later.
        rows = rows.rename(dict(zip(rows.collect_schema(), layout.columns, strict=False)))
    return rows


def _ndjson(path: Path, layout: Layout) -> pl.LazyFrame:
    del layout
    # This reader treats stars and brackets in a file name as a glob pattern.
    name = escape(str(path))
    fields = pl.scan_ndjson(name, infer_schema_length=_SAMPLE).collect_schema().names()
    return pl.scan_ndjson(name, schema=dict.fromkeys(fields, pl.String))


Scan = Callable[[Path, Layout], pl.LazyFrame]
FORMATS: Final[Mapping[str, Scan]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".ndjson": _ndjson,
    ".jsonl": _ndjson,
}
#: The formats of files by that of a feed definition, which a file may have under any name.
_DEFINED: Final[Mapping[str, Scan]] = {"csv": _csv, "parquet": _parquet}


def open_rows(path: Path, layout: Layout, definition: FeedDefinition | None = None) -> Rows:
    """The rows of a file. All columns are text unless the file is Parquet.

    Raises FeedError if the file is missing, has an unknown format or cannot be read.
    """
    if not path.is_file():
        raise FeedError(f"file {path} does not exist", "pass files of recorded ticks")
    if definition and definition.format in ("json", "ndjson"):
        return JsonRows(path, definition)
    try:
        rows = (_DEFINED[definition.format] if definition else _scan_of(path))(path, layout)
        rows.collect_schema()
    except (PolarsError, OSError) as error:
        raise unreadable_error(path, error) from error
    return TableRows(path, rows)


def _scan_of(path: Path) -> Scan:
    """How a file is read, by its name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_compressed = bool(suffixes) and suffixes[-1] in _COMPRESSED
    format_suffix = suffixes[-2:-1] if is_compressed else suffixes[-1:]
    if (
        not format_suffix
        or format_suffix[0] not in FORMATS
        or (is_compressed and format_suffix[0] == ".parquet")
    ):
        raise FeedError(
            f"{path} has no file extension of a supported format",
            f"use one of {', '.join(FORMATS)}; text formats may be compressed and end in "
            f"{' or '.join(_COMPRESSED)}",
        )
    return FORMATS[format_suffix[0]]


def unreadable_error(path: Path, error: Exception) -> FeedError:
    """The error for a file that polars cannot read."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    where = _bad_line(path) if {".ndjson", ".jsonl"} & set(path.suffixes) else ""
    return FeedError(
        f"{path} cannot be read{where} ({reason})",
        "check that the file is complete and matches its extension",
    )


def _bad_line(path: Path) -> str:
    """The first line that is not a JSON object, as part of a sentence."""
    line_number = 0
    try:
        for batch in pl.scan_lines(escape(str(path))).collect_batches(
            chunk_size=BATCH, engine="streaming"
        ):
            for line in batch.to_series():
                line_number += 1
                if line.strip() and not isinstance(json.loads(line), dict):
                    return f" at line {line_number}"
    except ValueError:
        return f" at line {line_number}"
    except (PolarsError, OSError):
        pass
    return ""
