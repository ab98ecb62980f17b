"""Publishes corrections of wrong candles, in the same form as the engine.

Repair takes over the transactional id of a partition, which fences the engine: only repair can
commit, and the candles no longer change. It compares them again, with the lake's ticks and the
unlanded ticks up to the committed offset, and publishes corrections in a transaction that commits
the same offset again. The engine detects this, takes the partition back and restores from the
repaired candles. Ticks that the engine has not committed are not counted here; the engine applies
them later.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import polars as pl

from homma.core.compare import Tally, Verdicts, wrong_keys
from homma.core.finality import FinalityRules
from homma.core.interval import CLOCK
from homma.core.recompute import EXPECTED_KEY, CandleKeys, RecordedTicks, Slice, add_ticks
from homma.core.series import NAMES
from homma.core.tick import kind_of
from homma.errors import Aborted, Fenced, KafkaError, OutcomeUnknown, StateError, Unreachable
from homma.lake.audit.comparing import (
    Comparison,
    NewestRecords,
    UnlandedTicks,
    newest_records,
    unequal_keys,
)
from homma.lake.audit.correction import (
    Correction,
    NewestEventTimes,
    PartitionTime,
    compute_correction,
    recorded_series,
    updated_metadata,
    woken_metadata,
)
from homma.lake.audit.engine import CommittedState, Engine, check_settings
from homma.lake.audit.takeovers import Takeovers
from homma.lake.audit.verify import Scope, Snapshot
from homma.lake.audit.withheld import WithheldCandles, unread_keys, withheld_candles
from homma.lake.table import Lake
from homma.topics import codec
from homma.topics.kafka.published_candles import PublishedCandles
from homma.topics.kafka.writing import Transactions
from homma.topics.offset_metadata import OffsetMetadata, candle_headers
from homma.topics.partitioning import partition_of

log = logging.getLogger("homma.repair")

#: Maximum number of records per transaction.
_MAX_RECORDS: Final = 50_000
_MAX_ATTEMPTS: Final = 5


@dataclass(slots=True)
class RepairReport:
    """Numbers of published and deleted candles by interval, and the verdicts.

    `handed_over` are the intervals whose withheld candles the engine now continues.
    """

    published: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    handed_over: set[str] = field(default_factory=set)
    table: Tally = field(default_factory=Tally)
    topic: Tally = field(default_factory=Tally)
    ticks: int = 0

    def count(self, correction: Correction) -> None:
        """Count the records of a transaction."""
        for counts, rows in (
            (self.published, correction.candles),
            (self.removed, correction.tombstones),
        ):
            for interval, number in rows.group_by("interval").len().iter_rows():
                counts[interval] = counts.get(interval, 0) + number


def repair(
    lake: Lake,
    engine: Engine,
    scope: Scope,
    rules: FinalityRules,
    wall_us: Callable[[], int],
    *,
    keys: CandleKeys | None = None,
    dry_run: bool = False,
    initial_state: Callable[[int], CommittedState] | None = None,
    newest_times: NewestEventTimes | None = None,
    new_ticks: RecordedTicks | None = None,
    takeovers: Takeovers | None = None,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> RepairReport:
    """Repair the candles of a scope, or only those with some `keys`.

    `initial_state` gives the state of partitions without a committed offset; without it, they are a
    StateError. `newest_times` are those that are known already. `new_ticks` are ticks of files that
    are not in the lake yet. `takeovers` may have been prepared.
    """
    snapshot = Snapshot(lake, engine, scope, new_ticks=new_ticks)
    repairer = Repairer(
        snapshot,
        engine,
        scope,
        rules,
        wall_us,
        dry_run=dry_run,
        initial_state=initial_state,
        newest_times=newest_times,
        takeovers=takeovers or Takeovers(engine),
    )
    withheld = None
    if scope.is_whole and keys is None and not dry_run:
        metadata = [state.metadata for state in snapshot.states.values()]
        withheld = withheld_candles(metadata, scope.calendar, rules)
    pending: Comparison | None = None
    for comparison in snapshot.compare(on_slice):
        if withheld is not None:
            withheld.add(comparison)
        unequal = unequal_keys(comparison.verdicts())
        if keys is not None:
            unequal = unequal.join(keys, on=EXPECTED_KEY, how="semi")
        part = comparison.restrict(unequal)
        pending = part if pending is None else pending.concat(part)
        if pending.expected.height + pending.table.height >= _MAX_RECORDS:
            repairer.repair(pending)
            pending = None
    if pending is not None:
        repairer.repair(pending)
    if withheld is not None:
        repairer.hand_over(withheld)
    repairer.report.ticks = snapshot.counted.ticks
    return repairer.report


class Repairer:
    """Repairs candles in batches."""

    def __init__(
        self,
        snapshot: Snapshot,
        engine: Engine,
        scope: Scope,
        rules: FinalityRules,
        wall_us: Callable[[], int],
        *,
        dry_run: bool,
        initial_state: Callable[[int], CommittedState] | None,
        newest_times: NewestEventTimes | None,
        takeovers: Takeovers,
    ) -> None:
        self.snapshot = snapshot
        self.report = RepairReport()
        self._engine = engine
        self._scope = scope
        self._rules = rules
        self._wall_us = wall_us
        self._dry_run = dry_run
        self._initial_state = initial_state
        self._newest_times = newest_times
        self._takeovers = takeovers
        self._unlanded = UnlandedTicks(
            engine.reader, engine.topics, scope.price, scope.tick_rules, self.snapshot.counted
        )

    @property
    def _published(self) -> PublishedCandles:
        assert self.snapshot.published is not None
        return self.snapshot.published

    def repair(self, suspects: Comparison) -> None:
        """Publish corrections of those candles that are wrong, among candles that seem wrong."""
        keys = unequal_keys(suspects.verdicts())
        if keys.is_empty():
            return
        # Compare first without fencing the engine: most candles may just have been changing.
        records = self._records(keys, self.snapshot.committed)
        ends = records.drop_nulls("partition").group_by("partition").agg(pl.col("before").max())
        table, topic = self._reconcile(suspects, records, dict(ends.rows()))
        self.report.table.add(table)
        self.report.topic.add(topic)
        wrong = records.join(wrong_keys((table, topic)), on=EXPECTED_KEY, how="semi")
        if self._dry_run:
            return
        for (partition,), part in self._with_partitions(wrong).group_by("partition"):
            for rows in part.iter_slices(_MAX_RECORDS):
                number, batch = int(str(partition)), suspects.restrict(rows)
                self._fence(number, partial(self._transact, partition=number, comparison=batch))

    def _with_partitions(self, wrong: NewestRecords) -> NewestRecords:
        """Add the partition that the partitioner chooses for series that have none yet."""
        new_series = wrong.filter(pl.col("partition").is_null()).select(NAMES).unique()
        if new_series.is_empty():
            return wrong
        partition_count = self._engine.partitions
        chosen = [
            partition_of(source, symbol, partition_count)
            for source, symbol in new_series.iter_rows()
        ]
        placed = new_series.with_columns(default_partition=pl.Series(chosen, dtype=pl.Int64))
        return wrong.join(placed, on=NAMES, how="left").with_columns(
            partition=pl.coalesce("partition", "default_partition")
        )

    def _records(self, keys: CandleKeys, committed: Mapping[int, int]) -> NewestRecords:
        return newest_records(keys, self._published.candles(), committed, self.snapshot.partitions)

    def _reconcile(
        self, suspects: Comparison, records: NewestRecords, ends: Mapping[int, int]
    ) -> tuple[Verdicts, Verdicts]:
        unlanded = self.snapshot.counted.not_in_lake(self._unlanded.read_to(ends))
        return self.snapshot.reconcile(suspects.restrict(records), records, unlanded)

    def _fence(self, partition: int, transact: Callable[[Transactions], None]) -> None:
        """Take over the partition's transactional id, and try again if the engine comes back."""
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                with closing(self._takeovers.of(partition)) as transactions:
                    transact(transactions)
                return
            except (Fenced, Aborted, OutcomeUnknown) as error:
                log.warning("partition %d: %s", partition, error.problem)
                if attempt == _MAX_ATTEMPTS:
                    raise KafkaError(
                        f"partition {partition} could not be repaired: {error.problem}",
                        "the candles published so far are right; run `homma repair` again",
                    ) from error

    def _transact(self, transactions: Transactions, partition: int, comparison: Comparison) -> None:
        """Compare the candles again, now that the engine is fenced, and publish corrections."""
        state = self._committed_state(partition, transactions)
        self._published.refresh([partition])
        keys = unequal_keys(comparison.verdicts())
        records = self._records(keys, {}).with_columns(
            before=pl.lit(state.offset, pl.Int64), partition=pl.lit(partition, pl.Int64)
        )
        ends = {partition: state.offset}
        wrong = wrong_keys(self._reconcile(comparison, records, ends))
        correction = self._correction(comparison, wrong, records, partition, state)
        if not correction.size:
            return
        self._commit(
            transactions, partition, state, correction, self._metadata(partition, state, correction)
        )

    def hand_over(self, withheld: WithheldCandles) -> None:
        """Hand the withheld candles over to the engine, which continues them from now on."""
        for partition, state in self._engine.committed_states().items():
            if state.metadata.begin:
                self._fence(
                    partition, partial(self._hand_over, partition=partition, withheld=withheld)
                )

    def _hand_over(
        self, transactions: Transactions, partition: int, withheld: WithheldCandles
    ) -> None:
        """Publish what a restart must read and cannot, and clear `begin`."""
        state = self._committed_state(partition, transactions)
        metadata = state.metadata
        if not withheld.covers(metadata.begin):
            log.warning("partition %d was rebuilt; run `homma repair` again", partition)
            return
        self._published.refresh([partition])
        ends = {partition: state.offset}
        unlanded = self.snapshot.counted.not_in_lake(self._unlanded.read_to(ends))
        keys = withheld.keys(unlanded, metadata.begin)
        series = unlanded.select(NAMES).unique().rows()
        partitions = {**self.snapshot.partitions, **dict.fromkeys(series, partition)}
        records = (
            self._with_partitions(newest_records(keys, self._published.candles(), {}, partitions))
            .filter(pl.col("partition") == partition)
            .with_columns(before=pl.lit(state.offset, pl.Int64))
        )
        comparison = withheld.comparison(records)
        verdicts = self._reconcile(comparison, records, ends)
        # Retention has deleted the others, and the engine does without them.
        retained = verdicts[1].filter(pl.col("verdict") != "expired").select(EXPECTED_KEY)
        correction = self._correction(comparison, retained, records, partition, state)
        unread = unread_keys(correction.needed, records, metadata.began)
        to_publish = correction.restrict(pl.concat([wrong_keys(verdicts), unread]).unique())
        handed_over = replace(self._metadata(partition, state, correction), begin={})
        self._commit(transactions, partition, state, to_publish, handed_over)
        self.report.handed_over |= set(metadata.begin) & set(self._scope.calendar.codes)

    def _correction(
        self,
        comparison: Comparison,
        keys: CandleKeys,
        records: NewestRecords,
        partition: int,
        state: CommittedState,
    ) -> Correction:
        unread = self._unlanded.read_to({partition: state.offset})
        unlanded = self.snapshot.counted.not_in_lake(unread)
        before = records.select(*EXPECTED_KEY, "before")
        expected = add_ticks(comparison.expected, before, unlanded, self._scope.calendar)
        return compute_correction(
            expected,
            keys,
            records,
            comparison.table,
            recorded_series(self._published.candles(), expected, self._newest_times),
            self._time(partition, state),
            self._rules,
        )

    def _time(self, partition: int, state: CommittedState) -> PartitionTime:
        clock_us = state.metadata.clock
        if CLOCK.code in state.metadata.begin:
            return PartitionTime(clock_us, None)
        return PartitionTime(clock_us, self._engine.clock_us(partition, state, self._wall_us()))

    def _metadata(
        self, partition: int, state: CommittedState, correction: Correction
    ) -> OffsetMetadata:
        metadata = updated_metadata(state.metadata, state.offset, correction.needed)
        if correction.woken_us is None:
            return metadata
        max_future_us = self._scope.max_future_us
        from_us = partial(self._rules.records_from_us, correction.woken_us, max_future_us)
        recall_from = self._engine.first_tick_since(partition, from_us(0) // 1000)
        return woken_metadata(metadata, from_us, recall_from)

    def _commit(
        self,
        transactions: Transactions,
        partition: int,
        state: CommittedState,
        correction: Correction,
        metadata: OffsetMetadata,
    ) -> None:
        """Publish a correction, and commit the same offset again, in the format that it had."""
        transactions.begin()
        self._send(transactions, partition, state, correction)
        text = metadata.text(state.version)
        ticks = self._engine.topics.ticks
        transactions.commit(ticks, partition, state.offset, text, self._engine.group_metadata())
        self._published.skip_own_records(partition)
        self.report.count(correction)

    def _committed_state(self, partition: int, transactions: Transactions) -> CommittedState:
        try:
            state = self._engine.committed_state(partition)
        except Unreachable:
            # An old transaction of this id has a pending offset.
            ticks = self._engine.topics.ticks
            transactions.clear_pending_offset(ticks, partition, self._engine.group_metadata())
            state = self._engine.committed_state(partition)
        if state is None and self._initial_state is not None:
            state = self._initial_state(partition)
        if state is None:
            raise StateError(
                f"group {self._engine.group} has committed nothing for "
                f"{self._engine.topics.ticks} partition {partition}",
                "start `homma aggregate`, or set --group to the group that built the candles",
            )
        scope = self._scope
        check_settings({partition: state}, self._engine.group, scope.tick_rules, scope.calendar)
        return state

    def _send(
        self,
        transactions: Transactions,
        partition: int,
        state: CommittedState,
        correction: Correction,
    ) -> None:
        headers = candle_headers(state.metadata.run, state.offset, state.version)
        topics, now_us = self._engine.topics.candles, self._wall_us()
        kind = kind_of(state.metadata.price)
        # Candles that a restart does not need come before those that it does.
        not_needed = correction.candles.join(correction.needed, on=EXPECTED_KEY, how="anti")
        for rows in (not_needed, correction.needed):
            for code, part in _by_interval(rows):
                keys, values = codec.encode_candles(part, now_us, kind, state.version)
                timestamps_ms = part["timestamp_ms"].to_list()
                transactions.send(
                    topics[code], partition, keys, values, timestamps_ms, [headers] * part.height
                )
        for code, part in _by_interval(correction.tombstones):
            keys, count = codec.encode_candle_keys(part), part.height
            timestamps_ms = [state.metadata.clock // 1000] * count
            transactions.send(
                topics[code], partition, keys, [None] * count, timestamps_ms, [headers] * count
            )


def _by_interval(rows: pl.DataFrame) -> Iterable[tuple[str, pl.DataFrame]]:
    for (code,), part in rows.group_by("interval", maintain_order=True):
        yield str(code), part
