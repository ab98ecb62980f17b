"""Records of a foreign topic to ticks and dead letters, by columns. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from homma.core import tick
from homma.core.tick import FIELDS, CheckedTicks, TickRules
from homma.errors import FeedError
from homma.feed.definitions.definition import BY_NAME
from homma.feed.definitions.json_records import FeedRecords
from homma.feed.definitions.record_values import KafkaRecords, read_records
from homma.feed.definitions.tick_reader import INSTANTS, ReadRecords, TickReader
from homma.feed.ingest.dead_letters import dead_letters
from homma.feed.instants import format_instant
from homma.partitions.outgoing import OutgoingBatch, OutgoingRecords
from homma.topics.codec import encode_ticks
from homma.topics.contract import Headers
from homma.topics.kafka.reading import Message

#: A number that homma makes is offset * 1024 + partition. Where messages have several records, it
#: is 65,536 times that, plus the place of the record in its message.
MAX_PARTITIONS: Final = 1 << 10
_MAX_RECORDS: Final = 1 << 16
_NO_HEADERS: Final[Headers] = []


class RecordParser:
    """Makes ticks of the records of one topic, by a feed definition."""

    def __init__(self, reader: TickReader, rules: TickRules) -> None:
        self._reader = reader
        self._rules = rules

    def parse(
        self, batches: Mapping[int, Sequence[Message]], now_us: int
    ) -> dict[int, OutgoingBatch]:
        """Parse non-empty batches by partition, all at once because that is faster.

        `now_us` is the time of the machine, which no tick may be too far ahead of.
        """
        messages = [message for batch in batches.values() for message in batch]
        if not messages:
            return {}
        records = KafkaRecords(
            [message.key() for message in messages],
            [message.value() for message in messages],
            [message.timestamp()[1] for message in messages],
        )
        values = read_records(self._reader, records)
        read = self._reader.read(values.values)
        ticks = self._ticks(values, read, _positions(batches), now_us)
        errors = dict.fromkeys(values.malformed, "the record is malformed")
        errors |= _errors_of_messages(ticks)
        good = ticks.filter(pl.col("error").is_null())
        return _by_partition(
            batches,
            _forwarded(good, self._columns, records),
            errors,
            values.message.filter(~read.is_tick),
            _event_times(good, len(messages)),
            set(ticks["message"]),
        )

    @property
    def _columns(self) -> list[str]:
        """The fields that a tick of this definition may have."""
        names = {BY_NAME[name].json for name in self._reader.definition.fields}
        if names & {"ask", "bid", "mid"}:
            names |= {"ask", "bid", "mid"}
        return [name for name in FIELDS if name in names | {"number"}]

    def _ticks(
        self, values: FeedRecords, read: ReadRecords, positions: pl.DataFrame, now_us: int
    ) -> CheckedTicks:
        """The records that should be ticks, checked; `message` is the index of the message."""
        instants = [
            format_instant(pl.col(column)).alias(name)
            for name, column in INSTANTS.items()
            if column in read.ticks.columns
        ]
        frame = read.ticks.with_columns(
            *instants,
            values.message.alias("message"),
            self._sentences(read).alias("error"),
            timestamp_us=pl.lit(now_us, pl.Int64),
        )
        if "number" not in frame.columns:
            frame = _numbered(frame, positions, is_several=bool(self._reader.definition.each))
        if not read.is_tick.all():
            frame = frame.filter(read.is_tick)
        absent = [pl.lit(None, FIELDS[name]).alias(name) for name in FIELDS if name not in frame]
        present = pl.Schema({name: FIELDS[name] for name in FIELDS if name in frame})
        return tick.check(frame.with_columns(absent).cast(present), self._rules)

    def _sentences(self, read: ReadRecords) -> pl.Series:
        """The errors of records, with the field and where it comes from."""
        rows = read.error.is_not_null().arg_true()
        fields = self._reader.definition.fields
        sentences = [
            f"{BY_NAME[name].json}: {' and '.join(fields[name].paths)} {problem}"
            for name, problem in zip(
                read.error_field.gather(rows), read.error.gather(rows), strict=True
            )
        ]
        return read.error.scatter(rows, sentences) if sentences else read.error


def check_partitions(topic: str, partitions: int) -> None:
    """Raise FeedError if a topic has more partitions than numbers have room for."""
    if partitions > MAX_PARTITIONS:
        raise FeedError(
            f"{topic} has {partitions} partitions, more than the {MAX_PARTITIONS} that fit into "
            "the numbers that homma makes",
            "name the field that numbers the records in the feed definition",
        )


def _positions(batches: Mapping[int, Sequence[Message]]) -> pl.DataFrame:
    """The partition and the offset of each message."""
    return pl.DataFrame(
        {
            "partition": [number for number, batch in batches.items() for _ in batch],
            "offset": [message.offset() for batch in batches.values() for message in batch],
        },
        schema={"partition": pl.Int64, "offset": pl.Int64},
    )


def _numbered(frame: pl.DataFrame, positions: pl.DataFrame, *, is_several: bool) -> pl.DataFrame:
    """Records with the number that homma makes; those for which there is none have an error."""
    offset, partition = positions["offset"], positions["partition"]
    of_message = (offset * MAX_PARTITIONS + partition).gather(frame["message"])
    frame = frame.with_columns(number=of_message)
    if not is_several:
        return frame
    place = pl.int_range(pl.len()).over("message")
    has_room = place < _MAX_RECORDS
    too_many = f"the message has more than {_MAX_RECORDS:,} records, which homma cannot number"
    return frame.with_columns(
        number=pl.col("number") * _MAX_RECORDS + pl.when(has_room).then(place).otherwise(0),
        error=pl.coalesce("error", pl.when(~has_room).then(pl.lit(too_many))),
    )


def _errors_of_messages(ticks: CheckedTicks) -> dict[int, str]:
    """The error of each message of which a record is no tick, by the index of the message."""
    wrong = ticks.filter(pl.col("error").is_not_null())
    if not wrong.height:
        return {}
    first = wrong.group_by("message", maintain_order=True).agg(pl.col("error").first(), pl.len())
    return {
        message: error if count == 1 else f"{error} (and {count - 1} more records of the message)"
        for message, error, count in first.rows()
    }


def _forwarded(good: CheckedTicks, columns: list[str], records: KafkaRecords) -> OutgoingRecords:
    rows = good["message"].to_list()
    keys, values = encode_ticks(good.select(columns))
    timestamps_ms = [records.timestamps_ms[row] for row in rows]
    return OutgoingRecords(rows, keys, values, timestamps_ms, [_NO_HEADERS] * len(rows))


def _event_times(good: CheckedTicks, height: int) -> list[int]:
    """The newest event time in each message, 0 where there is no tick."""
    newest = good.group_by("message").agg(pl.col("event_us").max())
    times = pl.repeat(0, height, dtype=pl.Int64, eager=True)
    return times.scatter(newest["message"], newest["event_us"]).to_list()


def _by_partition(
    batches: Mapping[int, Sequence[Message]],
    forwarded: OutgoingRecords,
    errors: Mapping[int, str],
    not_ticks: pl.Series,
    event_times_us: list[int],
    with_ticks: set[int],
) -> dict[int, OutgoingBatch]:
    """The batch of each partition. Indices of messages become those within the partition."""
    outgoing: dict[int, OutgoingBatch] = {}
    with_either, first = with_ticks | errors.keys(), 0
    for number, batch in batches.items():
        end = first + len(batch)
        of_batch = {row - first: errors[row] for row in errors if first <= row < end}
        outgoing[number] = OutgoingBatch(
            offsets=[message.offset() or 0 for message in batch],
            event_times_us=event_times_us[first:end],
            forwarded=_moved(forwarded.part(first, end), first),
            dead=dead_letters(batch, dict(sorted(of_batch.items()))),
            left_out=[row - first for row in range(first, end) if row not in with_either],
            not_ticks=(not_ticks.filter(not_ticks.is_between(first, end - 1)) - first).to_list(),
        )
        first = end
    return outgoing


def _moved(records: OutgoingRecords, by: int) -> OutgoingRecords:
    rows = [row - by for row in records.rows] if by else records.rows
    return OutgoingRecords(
        rows, records.keys, records.values, records.timestamps_ms, records.headers
    )
