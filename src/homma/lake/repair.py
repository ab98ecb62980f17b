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
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homma.core.compare import Tally, wrong_keys
from homma.core.interval import COARSEST
from homma.core.recompute import EXPECTED, EXPECTED_KEY, Slice, add_ticks
from homma.core.series import NAMES
from homma.errors import Aborted, Fenced, KafkaError, OutcomeUnknown, StateError, Unreachable
from homma.lake.comparing import (
    Comparison,
    UnlandedTicks,
    compare_slices,
    newest_records,
    reconcile,
    unequal_keys,
    without_tombstones,
)
from homma.lake.correction import (
    Correction,
    CorrectionRules,
    compute_correction,
    newest_event_times,
    updated_metadata,
)
from homma.lake.engine import CommittedState, Engine, check_price
from homma.lake.table import Lake
from homma.lake.verify import Scope, Snapshot
from homma.topics import codec
from homma.topics.contract import transactional_id
from homma.topics.kafka.published_candles import PublishedCandles
from homma.topics.kafka.writing import Transactions
from homma.topics.offset_metadata import candle_headers
from homma.topics.partitioning import partition_of

log = logging.getLogger("homma.repair")

_TRANSACTION_MS: Final = 10_000
#: Maximum number of records per transaction.
_MAX_RECORDS: Final = 50_000
_MAX_ATTEMPTS: Final = 5

#: Candle keys (EXPECTED_KEY) to repair; None: all.
Keys = pl.DataFrame | None


@dataclass(slots=True)
class RepairReport:
    """Numbers of published and deleted candles by interval, and the verdicts."""

    published: dict[int, int] = field(default_factory=dict)
    removed: dict[int, int] = field(default_factory=dict)
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
    rules: CorrectionRules,
    wall_us: Callable[[], int],
    *,
    keys: Keys = None,
    dry_run: bool = False,
    initial_state: Callable[[int], CommittedState] | None = None,
    newest_times: pl.DataFrame | None = None,
    on_slice: Callable[[Slice], None] = lambda _: None,
) -> RepairReport:
    """Repair the candles of a scope, or only those with some `keys`.

    `initial_state` gives the state of partitions without a committed offset; without it, they are a
    StateError. `newest_times` (NAMES, newest_us) has newest event times that are known already.
    """
    repairer = Repairer(
        lake,
        engine,
        scope,
        rules,
        wall_us,
        dry_run=dry_run,
        initial_state=initial_state,
        newest_times=newest_times,
    )
    snapshot = repairer.snapshot
    pending: Comparison | None = None
    for comparison in compare_slices(
        snapshot.counted, snapshot.tables, snapshot.published, scope.span, scope.max_ticks, on_slice
    ):
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
    repairer.report.ticks = snapshot.counted.ticks
    return repairer.report


class Repairer:
    """Repairs candles in batches."""

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        scope: Scope,
        rules: CorrectionRules,
        wall_us: Callable[[], int],
        *,
        dry_run: bool,
        initial_state: Callable[[int], CommittedState] | None,
        newest_times: pl.DataFrame | None,
    ) -> None:
        self.snapshot = Snapshot(lake, engine, scope)
        self.report = RepairReport()
        self._engine = engine
        self._scope = scope
        self._rules = rules
        self._wall_us = wall_us
        self._dry_run = dry_run
        self._initial_state = initial_state
        self._newest_times = newest_times
        self._unlanded = UnlandedTicks(
            engine.reader, engine.topics, scope.price, scope.max_future_us, self.snapshot.counted
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
                self._repair_partition(int(str(partition)), suspects.restrict(rows))

    def _with_partitions(self, wrong: pl.DataFrame) -> pl.DataFrame:
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

    def _records(self, keys: pl.DataFrame, committed: Mapping[int, int]) -> pl.DataFrame:
        return newest_records(keys, self._published.candles(), committed, self.snapshot.partitions)

    def _reconcile(
        self, suspects: Comparison, records: pl.DataFrame, ends: Mapping[int, int]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        unlanded = self.snapshot.counted.not_in_lake(self._unlanded.read_to(ends))
        part = suspects.restrict(records)
        retained_from_ms = self._published.retained_from_ms
        return reconcile(part, records, unlanded, self.snapshot.landed, retained_from_ms)

    def _repair_partition(self, partition: int, comparison: Comparison) -> None:
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            name = transactional_id(self._engine.group, self._engine.topics.ticks, partition)
            transactions = Transactions(self._engine.config, name, _TRANSACTION_MS)
            try:
                self._transact(transactions, partition, comparison)
                return
            except (Fenced, Aborted, OutcomeUnknown) as error:
                log.warning("partition %d: %s", partition, error.problem)
                if attempt == _MAX_ATTEMPTS:
                    raise KafkaError(
                        f"partition {partition} could not be repaired: {error.problem}",
                        "the candles published so far are right; run `homma repair` again",
                    ) from error
            finally:
                transactions.close()

    def _transact(self, transactions: Transactions, partition: int, comparison: Comparison) -> None:
        """Fence the engine, compare the candles again, and publish corrections."""
        transactions.init()
        state = self._committed_state(partition, transactions)
        self._published.refresh([partition])
        keys = unequal_keys(comparison.verdicts())
        records = self._records(keys, {}).with_columns(
            before=pl.lit(state.offset, pl.Int64), partition=pl.lit(partition, pl.Int64)
        )
        ends = {partition: state.offset}
        verdicts = self._reconcile(comparison, records, ends)
        unlanded = self.snapshot.counted.not_in_lake(self._unlanded.read_to(ends))
        expected = add_ticks(comparison.expected, records.select(*EXPECTED_KEY, "before"), unlanded)
        newest_times = self._newest_event_times(expected)
        metadata = state.metadata
        correction = compute_correction(
            expected,
            *verdicts,
            records,
            comparison.table,
            newest_times,
            metadata.clock,
            self._rules,
        )
        if not correction.size:
            return
        transactions.begin()
        self._send(transactions, partition, state, correction)
        text = updated_metadata(metadata, state.offset, correction.needed).text()
        ticks = self._engine.topics.ticks
        transactions.commit(ticks, partition, state.offset, text, self._engine.group_metadata())
        self._published.skip_own_records(partition)
        self.report.count(correction)

    def _newest_event_times(self, expected: pl.DataFrame) -> pl.DataFrame:
        months = without_tombstones(self._published.candles()).filter(
            pl.col("interval") == COARSEST
        )
        newest = newest_event_times(pl.concat([months.select(EXPECTED.names()), expected]))
        if self._newest_times is None:
            return newest
        return (
            pl.concat([newest, self._newest_times]).group_by(NAMES).agg(pl.col("newest_us").max())
        )

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
        check_price({partition: state}, self._scope.price)
        return state

    def _send(
        self,
        transactions: Transactions,
        partition: int,
        state: CommittedState,
        correction: Correction,
    ) -> None:
        headers = candle_headers(state.metadata.run, state.offset)
        topics, now_us = self._engine.topics.candles, self._wall_us()
        # Candles that a restart does not need come before those that it does.
        not_needed = correction.candles.join(correction.needed, on=EXPECTED_KEY, how="anti")
        for rows in (not_needed, correction.needed):
            for code, part in _by_interval(rows):
                keys, values = codec.encode_candles(part, now_us)
                timestamps_ms = part["timestamp_ms"].to_list()
                transactions.send(
                    topics[code], partition, keys, values, timestamps_ms, [headers] * part.height
                )
        for code, part in _by_interval(correction.tombstones):
            keys = codec.encode_candle_keys(part)
            timestamps_ms = [state.metadata.clock // 1000] * part.height
            transactions.send(
                topics[code],
                partition,
                keys,
                [None] * part.height,
                timestamps_ms,
                [headers] * part.height,
            )


def _by_interval(rows: pl.DataFrame) -> Iterable[tuple[int, pl.DataFrame]]:
    for (code,), part in rows.group_by("interval", maintain_order=True):
        yield int(str(code)), part
