"""What is wrong is published anew, as the engine would have published it.

Repair is a second writer of a partition. It takes the partition's transactional id, which fences
the engine: nothing can be committed then but by repair, and the candles stand still. With the
lake's ticks, and those that Kafka has beyond up to the committed offset, they are judged once
more; what is wrong is published in a transaction that commits the same offset again. The engine
notices, takes the partition back and restores from the repaired candles. Ticks it has not
committed yet were never counted here, and are left to it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core.compare import Tally, wrong_keys
from homma.core.interval import COARSEST
from homma.core.recompute import EXPECTED, EXPECTED_KEY, Slice, extended
from homma.core.series import NAMES
from homma.errors import Fenced, KafkaError, StateError, Unreachable
from homma.lake.comparing import (
    Comparison,
    UnlandedTicks,
    alive,
    judged,
    reconcile,
    records_of,
    unequal,
)
from homma.lake.correction import Correction, CorrectionRules, clocks_of, correction, marked
from homma.lake.engine import CommittedState, Engine, price_of
from homma.lake.table import Lake
from homma.lake.verify import Scope, Snapshot
from homma.topics import codec
from homma.topics.contract import transactional_id
from homma.topics.kafka.published_candles import Published
from homma.topics.kafka.writing import Aborted, Indefinite, Transactions
from homma.topics.offset_metadata import candle_headers
from homma.topics.partitioning import partition_of

log = logging.getLogger("homma.repair")

_TRANSACTION_MS: Final = 10_000
#: So many records go into one transaction.
_AT_ONCE: Final = 50_000
_TRIES: Final = 5

#: Which keys (MADE_KEY) are asked for at all; None: all.
Named = pl.DataFrame | None


@dataclass(slots=True)
class Repaired:
    """What was published, by interval, and what was found wrong."""

    published: dict[int, int] = field(default_factory=dict)
    removed: dict[int, int] = field(default_factory=dict)
    table: Tally = field(default_factory=Tally)
    topic: Tally = field(default_factory=Tally)
    ticks: int = 0

    def count(self, done: Correction) -> None:
        """Add what went into a transaction."""
        for counts, rows in ((self.published, done.write), (self.removed, done.tombstones)):
            for interval, number in rows.group_by("interval").len().iter_rows():
                counts[interval] = counts.get(interval, 0) + number


def repair(
    lake: Lake,
    engine: Engine,
    question: Scope,
    rules: CorrectionRules,
    wall_us: Callable[[], int],
    *,
    named: Named = None,
    dry_run: bool = False,
    first: Callable[[int], CommittedState] | None = None,
    clocks: pl.DataFrame | None = None,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> Repaired:
    """Mend a span; of it, with `named`, these keys only.

    `first` says where a partition stands that nobody has committed for yet; without, it is refused.
    `clocks` are event clocks (NAMES, clock_us) that are known beforehand.
    """
    repairing = Repairing(
        lake, engine, question, rules, wall_us, dry_run=dry_run, first=first, clocks=clocks
    )
    scene = repairing.scene
    waiting: Comparison | None = None
    for piece in judged(
        scene.basis, scene.tables, scene.published, question.span, question.at_once, on_slice
    ):
        keys = unequal(piece.verdicts())
        if named is not None:
            keys = keys.join(named, on=EXPECTED_KEY, how="semi")
        part = piece.of(keys)
        waiting = part if waiting is None else waiting.and_(part)
        if waiting.made.height + waiting.table.height >= _AT_ONCE:
            repairing.mend(waiting)
            waiting = None
    if waiting is not None:
        repairing.mend(waiting)
    repairing.done.ticks = scene.basis.ticks
    return repairing.done


class Repairing:
    """Mends candles, some at a time."""

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        question: Scope,
        rules: CorrectionRules,
        wall_us: Callable[[], int],
        *,
        dry_run: bool,
        first: Callable[[int], CommittedState] | None,
        clocks: pl.DataFrame | None,
    ) -> None:
        self.scene = Snapshot(lake, engine, question)
        self.done = Repaired()
        self._engine = engine
        self._question = question
        self._rules = rules
        self._wall_us = wall_us
        self._dry_run = dry_run
        self._first = first
        self._clocks = clocks
        self._gap = UnlandedTicks(
            engine.reader, engine.topics, question.price, question.max_future_us, self.scene.basis
        )

    @property
    def _published(self) -> Published:
        assert self.scene.published is not None
        return self.scene.published

    def mend(self, doubtful: Comparison) -> None:
        """Publish what is wrong of candles that did not agree with the lake's ticks."""
        keys = unequal(doubtful.verdicts())
        if keys.is_empty():
            return
        # First without fencing anybody: most of it may be in motion only.
        records = self._records(keys, self.scene.committed)
        ends = records.drop_nulls("partition").group_by("partition").agg(pl.col("before").max())
        table, topic = self._settled(doubtful, records, dict(ends.rows()))
        self.done.table.add(table)
        self.done.topic.add(topic)
        wrong = records.join(wrong_keys((table, topic)), on=EXPECTED_KEY, how="semi")
        if self._dry_run:
            return
        for (partition,), part in self._placed(wrong).group_by("partition"):
            for some in part.iter_slices(_AT_ONCE):
                self._mend_partition(int(str(partition)), doubtful.of(some))

    def _placed(self, wrong: pl.DataFrame) -> pl.DataFrame:
        """With a partition for series that stand in none yet: where their ticks would go."""
        new = wrong.filter(pl.col("partition").is_null()).select(NAMES).unique()
        if new.is_empty():
            return wrong
        count = self._engine.partitions
        places = [partition_of(source, symbol, count) for source, symbol in new.iter_rows()]
        home = new.with_columns(home=pl.Series(places, dtype=pl.Int64))
        return wrong.join(home, on=NAMES, how="left").with_columns(
            partition=pl.coalesce("partition", "home")
        )

    def _records(self, keys: pl.DataFrame, committed: Mapping[int, int]) -> pl.DataFrame:
        return records_of(keys, self._published.candles(), committed, self.scene.homes)

    def _settled(
        self, doubtful: Comparison, records: pl.DataFrame, ends: Mapping[int, int]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        fresh = self.scene.basis.fresh(self._gap.until(ends))
        part = doubtful.of(records)
        kept = self._published.kept_from_ms
        return reconcile(part, records, fresh, self.scene.landed, kept)

    def _mend_partition(self, partition: int, wrong: Comparison) -> None:
        for tried in range(1, _TRIES + 1):
            name = transactional_id(self._engine.group, self._engine.topics.ticks, partition)
            transactions = Transactions(self._engine.config, name, _TRANSACTION_MS)
            try:
                self._transact(transactions, partition, wrong)
                return
            except (Fenced, Aborted, Indefinite) as error:
                log.warning("partition %d: %s", partition, error.what)
                if tried == _TRIES:
                    raise KafkaError(
                        f"partition {partition} could not be mended: {error.what}",
                        "what was published before is right; start again for the rest",
                    ) from error
            finally:
                transactions.close()

    def _transact(self, transactions: Transactions, partition: int, wrong: Comparison) -> None:
        """Fence the engine, judge once more, and publish."""
        transactions.init()
        standing = self._standing(partition, transactions)
        self._published.look([partition])
        keys = unequal(wrong.verdicts())
        records = self._records(keys, {}).with_columns(
            before=pl.lit(standing.offset, pl.Int64), partition=pl.lit(partition, pl.Int64)
        )
        ends = {partition: standing.offset}
        verdicts = self._settled(wrong, records, ends)
        fresh = self.scene.basis.fresh(self._gap.until(ends))
        truth = extended(wrong.made, records.select(*EXPECTED_KEY, "before"), fresh)
        clocks = self._event_clocks(truth)
        mark = standing.mark
        found = correction(truth, *verdicts, records, wrong.table, clocks, mark.clock, self._rules)
        if not found.size:
            return
        transactions.begin()
        self._send(transactions, partition, standing, found)
        told = marked(mark, standing.offset, found.wanted).text()
        ticks = self._engine.topics.ticks
        transactions.commit(ticks, partition, standing.offset, told, self._engine.owner())
        self._published.pass_over(partition)
        self.done.count(found)

    def _event_clocks(self, truth: pl.DataFrame) -> pl.DataFrame:
        months = alive(self._published.candles()).filter(pl.col("interval") == COARSEST)
        shown = clocks_of(pl.concat([months.select(EXPECTED.names()), truth]))
        if self._clocks is None:
            return shown
        return pl.concat([shown, self._clocks]).group_by(NAMES).agg(pl.col("clock_us").max())

    def _standing(self, partition: int, transactions: Transactions) -> CommittedState:
        try:
            standing = self._engine.standing(partition)
        except Unreachable:
            # An old transaction of this id has left its offset pending.
            ticks = self._engine.topics.ticks
            transactions.settle(ticks, partition, self._engine.owner())
            standing = self._engine.standing(partition)
        if standing is None and self._first is not None:
            standing = self._first(partition)
        if standing is None:
            raise StateError(
                f"group {self._engine.group} has committed nothing for "
                f"{self._engine.topics.ticks} partition {partition}",
                "start `homma aggregate`, or name the group that made the candles by --group",
            )
        price_of({partition: standing}, self._question.price)
        return standing

    def _send(
        self,
        transactions: Transactions,
        partition: int,
        standing: CommittedState,
        found: Correction,
    ) -> None:
        headers = candle_headers(standing.mark.run, standing.offset)
        topics, now_us = self._engine.topics.candles, self._wall_us()
        # What a restart need not read stands before what it must.
        first = found.write.join(found.wanted, on=EXPECTED_KEY, how="anti")
        for rows in (first, found.wanted):
            for code, part in _by_interval(rows):
                keys, values = codec.candles_to(part, now_us)
                stamps = part["timestamp_ms"].to_list()
                transactions.send(
                    topics[code], partition, keys, values, stamps, [headers] * part.height
                )
        for code, part in _by_interval(found.tombstones):
            keys = codec.candle_keys(part)
            stamps = [standing.mark.clock // 1000] * part.height
            transactions.send(
                topics[code],
                partition,
                keys,
                [None] * part.height,
                stamps,
                [headers] * part.height,
            )


def _by_interval(rows: pl.DataFrame) -> Iterable[tuple[int, pl.DataFrame]]:
    for (code,), part in rows.group_by("interval", maintain_order=True):
        yield int(str(code)), part
