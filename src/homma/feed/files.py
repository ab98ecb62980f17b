"""Recorded ticks on disk: which formats there are, and their rows in bounded memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from homma.errors import FeedError

#: Rows of a batch.
BATCH: Final = 50_000
#: Rows that an NDJSON file's fields are gathered from.
_SAMPLE: Final = 1_000
_PACKED: Final = (".gz", ".zst")


def _parquet(path: Path, separator: str) -> pl.LazyFrame:
    del separator
    return pl.scan_parquet(path, glob=False)


def _csv(path: Path, separator: str) -> pl.LazyFrame:
    # As text: what is no number is then told by row and column, not by the parser.
    return pl.scan_csv(path, separator=separator, infer_schema=False, glob=False)


def _ndjson(path: Path, separator: str) -> pl.LazyFrame:
    del separator
    # This reader takes stars and brackets in a name for a pattern.
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
    """A file's rows, not yet read; its columns are text unless it is Parquet.

    FeedError where it is missing, of no known format, or not what its name says.
    """
    if not path.is_file():
        raise FeedError(f"there is no file {path}", "name files of recorded ticks")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _PACKED
    kind = suffixes[-2:-1] if packed else suffixes[-1:]
    if not kind or kind[0] not in FORMATS or (packed and kind[0] == ".parquet"):
        raise FeedError(
            f"{path} has no ending that tells its format",
            f"rename it to one of {', '.join(FORMATS)}, the text formats also with "
            f"{' or '.join(_PACKED)} behind",
        )
    try:
        rows = FORMATS[kind[0]](path, separator)
        rows.collect_schema()
    except (PolarsError, OSError) as error:
        raise unreadable(path, error) from error
    return rows


def batches(path: Path, rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows of a scan of `path`, in their order, BATCH at a time."""
    try:
        yield from rows.collect_batches(chunk_size=BATCH, engine="streaming")
    except (PolarsError, OSError) as error:
        raise unreadable(path, error) from error


def count(path: Path, rows: pl.LazyFrame) -> int | None:
    """How many rows there are, where that is known without reading them."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        return int(rows.select(pl.len()).collect().item())
    except (PolarsError, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> FeedError:
    """What to say of a file that polars does not read."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    where = _bad_line(path) if {".ndjson", ".jsonl"} & set(path.suffixes) else ""
    return FeedError(
        f"{path} cannot be read{where} ({reason})",
        "see whether it is whole and what its ending says it is",
    )


def _bad_line(path: Path) -> str:
    """Where the first line stands that is not a JSON object, as part of a sentence."""
    seen = 0
    try:
        for batch in pl.scan_lines(escape(str(path))).collect_batches(
            chunk_size=BATCH, engine="streaming"
        ):
            for line in batch.to_series():
                seen += 1
                if line.strip() and not isinstance(json.loads(line), dict):
                    return f" from line {seen}"
    except ValueError:
        return f" from line {seen}"
    except (PolarsError, OSError):
        pass
    return ""
