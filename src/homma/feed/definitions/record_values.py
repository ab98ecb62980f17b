"""Values of Kafka records by columns, as a feed definition names them. Pure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from homma.errors import FeedError
from homma.feed.definitions.definition import RECORD_KEY, RECORD_TIMESTAMP, FeedDefinition
from homma.feed.definitions.json_records import FeedRecords, JsonReader
from homma.feed.definitions.tick_reader import TickReader

_OF_RECORD: Final = (RECORD_TIMESTAMP, RECORD_KEY)


@dataclass(frozen=True, slots=True)
class KafkaRecords:
    """The keys, values and timestamps of records, in one order."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int]


def read_records(reader: TickReader, records: KafkaRecords) -> FeedRecords:
    """The records within the values of Kafka records. Raises FeedError for a format of files."""
    definition = reader.definition
    require_records(definition)
    paths = [path for path in reader.paths if path not in _OF_RECORD]
    values = [value or b"" for value in records.values]
    if definition.format in ("json", "ndjson"):
        read = JsonReader(paths, definition.each, reader.exact_paths).read(values)
    else:
        read = _csv_rows(values, paths, definition.columns, definition.separator)
    of_record = {
        RECORD_TIMESTAMP: pl.Series(records.timestamps_ms, dtype=pl.Int64),
        RECORD_KEY: pl.Series(
            [key.decode("utf-8", "replace") if key else None for key in records.keys],
            dtype=pl.String,
        ),
    }
    more = {name: of_record[name].gather(read.message) for name in _OF_RECORD}
    return FeedRecords(read.values.with_columns(**more), read.message, read.malformed)


def require_records(definition: FeedDefinition) -> None:
    """Raise FeedError if a definition is of files only."""
    for name, origin in definition.fields.items():
        if origin.empty == "unchanged":
            raise FeedError(
                f'the feed definition {definition.name} has {name} with empty = "unchanged"',
                "use it for files only: records of a topic have no row before",
            )
    has_records = definition.format in ("json", "ndjson") or definition.columns
    if not has_records:
        raise FeedError(
            f"the feed definition {definition.name} is of {definition.format} files, not of records"
            " in Kafka",
            "use one of JSON, or of CSV with columns",
        )


def _csv_rows(
    values: list[bytes], paths: list[str], columns: Sequence[str], separator: str
) -> FeedRecords:
    """Each value is one row. One that is not in UTF-8, or has several lines, is malformed."""
    malformed = [index for index, value in enumerate(values) if not _is_one_row(value)]
    bad = set(malformed)
    good = [index for index in range(len(values)) if index not in bad]
    message = pl.Series("message", good, dtype=pl.UInt32)
    joined = b"\n".join(values[index].rstrip(b"\r\n") for index in good)
    schema = dict.fromkeys(columns, pl.String)
    if not good:
        return FeedRecords(pl.DataFrame(schema=schema).select(paths), message, malformed)
    try:
        frame = pl.read_csv(
            io.BytesIO(joined),
            has_header=False,
            separator=separator,
            schema=schema,
            truncate_ragged_lines=True,
        )
    except PolarsError as error:
        raise FeedError(
            f"records are no CSV ({str(error).splitlines()[0]})",
            "correct the columns or the separator of the feed definition",
        ) from error
    return FeedRecords(frame.select(paths), message, malformed)


def _is_one_row(value: bytes) -> bool:
    row = value.rstrip(b"\r\n")
    # A quote that is not closed would take the rows after it.
    if not row or b"\n" in row or row.count(b'"') % 2:
        return False
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True
