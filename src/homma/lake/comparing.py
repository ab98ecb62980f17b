"""Candles as they must be, beside those that the tables and the topics hold.

The candles of a slice of ticks are compared as soon as they are ready. What does not agree with
the lake's ticks is looked at again with the **gap**, the ticks that Kafka has beyond: a candle in
motion is then right, or the table has not yet taken what the topic holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core.candle import order_key_us
from homma.core.compare import compare
from homma.core.recompute import (
    EXPECTED,
    EXPECTED_KEY,
    TICKS,
    EventSpan,
    Recomputing,
    Slice,
    extended,
)
from homma.core.series import NAMES
from homma.core.tick import Price
from homma.errors import LakeError, OffsetsLost
from homma.lake import rows
from homma.lake.counted_ticks import AT_ONCE, CountedTicks, until
from homma.lake.table import Table
from homma.topics.contract import Topics
from homma.topics.kafka.published_candles import Published
from homma.topics.kafka.reading import Range, Reader
from homma.topics.ticks import parse_ticks

# Nothing readable for so long: an open transaction ends within its timeout of 10 s.
_PATIENCE_S: Final = 30.0
#: So many ticks that the lake lacks are held in memory.
_MOST: Final = 5_000_000
#: A candle older than this much beyond what retention has left in its topic may be gone from it.
_SLACK_MS: Final = 300_000
#: Rows of a candle table as `compare` takes them.
_ROWS: Final = pl.Schema([*EXPECTED.items(), ("is_final", pl.Boolean()), ("revision", pl.Int32())])


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candles of a slice as they must be (MADE), and as table and topics have them."""

    made: pl.DataFrame
    table: pl.DataFrame
    topic: pl.DataFrame | None

    def verdicts(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Of the table and of the topics, as `compare` gives them."""
        topic = None if self.topic is None else compare(self.made, self.topic)
        return compare(self.made, self.table), topic

    def of(self, keys: pl.DataFrame) -> "Comparison":
        """The part with these keys."""
        made, table = (f.join(keys, on=EXPECTED_KEY, how="semi") for f in (self.made, self.table))
        topic = self.topic
        return Comparison(
            made, table, None if topic is None else topic.join(keys, on=EXPECTED_KEY, how="semi")
        )

    def and_(self, other: "Comparison") -> "Comparison":
        """Both together."""
        topic = None
        if self.topic is not None and other.topic is not None:
            topic = pl.concat([self.topic, other.topic])
        return Comparison(
            pl.concat([self.made, other.made]), pl.concat([self.table, other.table]), topic
        )


def unequal(verdicts: Iterable[pl.DataFrame | None]) -> pl.DataFrame:
    """The keys that are not as they must be in one of them."""
    wrong = pl.col("verdict") != "equal"
    frames = [f.filter(wrong).select(EXPECTED_KEY) for f in verdicts if f is not None]
    return pl.concat(frames).unique()


def judged(
    basis: CountedTicks,
    tables: Sequence[Table],
    published: Published | None,
    span: EventSpan,
    at_once: int = AT_ONCE,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> Iterator[Comparison]:
    """Slice by slice, every candle of the span once."""
    adding, before_us = Recomputing(span), -1
    topic = None if published is None else alive(published.candles())
    for piece in basis.slices(span, at_once):
        made = adding.add(piece)
        spans = [span.of(code, before_us, piece.end_us) for code in range(len(tables))]
        found = pl.concat(
            [_rows(table, basis, part) for table, part in zip(tables, spans, strict=True)]
        )
        yield Comparison(made, found, None if topic is None else _within(topic, spans))
        before_us = piece.end_us
        on_slice(piece)


def _rows(table: Table, basis: CountedTicks, span: EventSpan) -> pl.DataFrame:
    interval = table.spec.interval
    assert interval is not None
    if span.start_us >= span.end_us:
        return pl.DataFrame(schema=_ROWS)
    where = basis.series.where(span.start_us or None, until(span.end_us))
    return rows.candles(basis.series.of(table.scan(where, rows.COLUMNS)), interval).cast(_ROWS)


def _within(candles: pl.DataFrame, spans: Sequence[EventSpan]) -> pl.DataFrame:
    start, interval = pl.col("start_us"), pl.col("interval")
    wanted = [
        (interval == code) & (start >= span.start_us) & (start < span.end_us)
        for code, span in enumerate(spans)
        if span.start_us < span.end_us
    ]
    return candles.filter(pl.any_horizontal(wanted)) if wanted else candles.clear()


def alive(published: pl.DataFrame) -> pl.DataFrame:
    """Without tombstones."""
    return published.filter(pl.col("volume").is_not_null())


@dataclass(slots=True)
class UnlandedTicks:
    """The ticks that Kafka has beyond the basis, as far as they were read."""

    reader: Reader
    topics: Topics
    price: Price
    max_future_us: int
    basis: CountedTicks
    _read: dict[int, tuple[int, pl.DataFrame]] = field(default_factory=dict)

    def until(self, ends: Mapping[int, int]) -> pl.DataFrame:
        """Ticks (TICKS) of partitions from the basis's offset to these; OffsetsLost if gone."""
        frames = [pl.DataFrame(schema=TICKS)]
        for partition, end in ends.items():
            after, held = self._read.get(
                partition, (self.basis.before.get(partition, 0), frames[0])
            )
            if after < end:
                held = pl.concat([held, *self._ticks(partition, after, end)])
                self._read[partition] = (end, held)
            frames.append(held.filter(pl.col("offset") < end))
        return self.basis.series.of(pl.concat(frames))

    def _ticks(self, partition: int, after: int, end: int) -> Iterator[pl.DataFrame]:
        topic = self.topics.ticks
        if end - after > _MOST:
            raise LakeError(
                f"the lake is {end - after} ticks behind {topic} partition {partition}",
                "let `homma land` come nearer first",
            )
        kept = self.reader.kept(topic, partition)
        if after < kept.start:
            raise OffsetsLost(
                f"{kept.start - after} offsets of {topic} partition {partition} are neither in "
                "the lake nor in Kafka any more",
                "their candles cannot be told: load those ticks with `homma backfill` from where "
                "they were recorded, and let `homma land` go on from the oldest tick kept",
            )
        wanted = {topic: Range(after, end)}
        for batch in self.reader.read(partition, wanted, _PATIENCE_S):
            valid = parse_ticks({partition: batch}, self.max_future_us)[partition].valid
            yield valid.select(
                *NAMES,
                "event_us",
                "number",
                pl.col(self.price).alias("price"),
                pl.lit(partition, pl.Int64).alias("partition"),
                "offset",
            ).cast(TICKS)


def records_of(
    keys: pl.DataFrame,
    published: pl.DataFrame,
    committed: Mapping[int, int],
    partitions: Mapping[tuple[str, str], int],
) -> pl.DataFrame:
    """The newest record of each key (MADE_KEY), null where there is none.

    With `before`: the offset before which all ticks must be in the candle. `partition` is that of
    the series where there is no record.
    """
    homes = pl.DataFrame(
        [(*name, partition) for name, partition in partitions.items()],
        schema={"source": pl.String, "symbol": pl.String, "home": pl.Int64},
        orient="row",
    )
    ends = pl.DataFrame(
        {"partition": list(committed), "committed": list(committed.values())},
        schema={"partition": pl.Int64, "committed": pl.Int64},
    )
    return (
        keys.select(EXPECTED_KEY)
        .join(published, on=EXPECTED_KEY, how="left")
        .join(homes, on=NAMES, how="left")
        .with_columns(partition=pl.coalesce("partition", "home"))
        .join(ends, on="partition", how="left")
        .with_columns(before=pl.coalesce("ticks_before", "committed", pl.lit(0, pl.Int64)))
        .drop("home", "committed")
    )


def reconcile(
    judged: Comparison,
    records: pl.DataFrame,
    fresh: pl.DataFrame,
    landed: Sequence[Mapping[int, int]],
    kept_from_ms: Mapping[int, int],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge once more what was not equal: verdicts on the table and on the topics.

    `records` are those of `records_of`, `fresh` the gap's ticks, none a copy, `landed` by interval
    the offsets that the table has taken. A candle is held to the ticks that its newest record says
    are in it. A table that has not come so far is `behind`; what retention may have taken out of
    its topic is `expired`.
    """
    truth = extended(judged.made, records.select(*EXPECTED_KEY, "before"), fresh)
    return (
        _behind(compare(truth, judged.table), records, landed),
        _expired(compare(truth, alive(records).select(EXPECTED.names())), kept_from_ms),
    )


def _behind(
    verdicts: pl.DataFrame, records: pl.DataFrame, landed: Sequence[Mapping[int, int]]
) -> pl.DataFrame:
    ends = pl.DataFrame(
        [(code, *place) for code, offsets in enumerate(landed) for place in offsets.items()],
        schema={"interval": pl.UInt8, "partition": pl.Int64, "landed": pl.Int64},
        orient="row",
    )
    waiting = (
        records.join(ends, on=("interval", "partition"), how="left")
        .filter(pl.col("offset") >= pl.col("landed").fill_null(0))
        .select(*EXPECTED_KEY, _waits=pl.lit(value=True))
    )
    waits = (pl.col("verdict") != "equal") & pl.col("_waits").is_not_null()
    return (
        verdicts.join(waiting, on=EXPECTED_KEY, how="left")
        .with_columns(verdict=pl.when(waits).then(pl.lit("behind")).otherwise("verdict"))
        .drop("_waits")
    )


def _expired(verdicts: pl.DataFrame, kept_from_ms: Mapping[int, int]) -> pl.DataFrame:
    if not kept_from_ms:
        return verdicts
    oldest_ms = pl.col("interval").cast(pl.Int64).replace_strict(kept_from_ms, default=0)
    old = order_key_us(pl.col("close_order_key")) // 1000 < oldest_ms + _SLACK_MS
    gone = (pl.col("verdict") == "missing") & (oldest_ms > 0) & old
    return verdicts.with_columns(verdict=pl.when(gone).then(pl.lit("expired")).otherwise("verdict"))
