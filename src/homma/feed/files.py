"""Files of recorded ticks: the supported formats, read in bounded memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from homma.errors import FeedError

#: Rows per batch.
BATCH: Final = 50_000
#: The fields of an NDJSON file are inferred from this many rows.
_SAMPLE: Final = 1_000
_COMPRESSED: Final = (".gz", ".zst")


def _parquet(path: Path, separator: str) -> pl.LazyFrame:
    del separator
    return pl.scan_parquet(path, glob=False)


def _csv(path: Path, separator: str) -> pl.LazyFrame:
    # Read as text, so that our error for an invalid number names the row and the column.
    return pl.scan_csv(path, separator=separator, infer_schema=False, glob=False)


def _ndjson(path: Path, separator: str) -> pl.LazyFrame:
    del separator
    # This reader treats stars and brackets in a file name as a glob pattern.
    name = escape(str(path))
    fields = pl.scan_ndjson(name, infer_schema_length=_SAMPLE).collect_schema().names()
    return pl.scan_ndjson(name, schema=dict.fromkeys(fields, pl.String))


Scan = Callable[[Path, str], pl.LazyFrame]
FORMATS: Final[Mapping[str, Scan]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".ndjson": _ndjson,
    ".jsonl": _ndjson,
}


def scan(path: Path, separator: str) -> pl.LazyFrame:
    """A lazy frame of a file's rows. All columns are text unless the file is Parquet.

    Raises FeedError if the file is missing, has an unknown format or cannot be read.
    """
    if not path.is_file():
        raise FeedError(f"file {path} does not exist", "pass files of recorded ticks")
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
    try:
        rows = FORMATS[format_suffix[0]](path, separator)
        rows.collect_schema()
    except (PolarsError, OSError) as error:
        raise unreadable_error(path, error) from error
    return rows


def batches(path: Path, rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows of a scan of `path` in file order, BATCH at a time."""
    try:
        yield from rows.collect_batches(chunk_size=BATCH, engine="streaming")
    except (PolarsError, OSError) as error:
        raise unreadable_error(path, error) from error


def count(path: Path, rows: pl.LazyFrame) -> int | None:
    """The number of rows, or None if only reading the file can tell."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        return int(rows.select(pl.len()).collect().item())
    except (PolarsError, OSError) as error:
        raise unreadable_error(path, error) from error


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
