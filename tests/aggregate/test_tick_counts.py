"""Each record read counts exactly once, and a part that breaks this is stopped.

No test in this file reaches a commit, so none needs a broker.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homma.aggregate.partition import Partition
from homma.aggregate.recorded_state import RestoreContext
from homma.aggregate.rekey import outgoing
from homma.aggregate.restore import RestoredState
from homma.aggregate.tick_counts import TickCounts
from homma.core.finality import FinalityRules
from homma.core.tick import TickRules
from homma.core.window import ApplyResult, Window, WindowRules
from homma.durations import microseconds
from homma.errors import InternalError
from homma.failpoint import ignore_step
from homma.metrics import AGGREGATE, Metrics
from homma.partitions.alignment import WatermarkAlignment
from homma.partitions.forwarding import ForwardingPartition, Route
from homma.partitions.outgoing import OutgoingRecords
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.kafka.reading import Message, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.ticks import ParsedBatch, parse_ticks
from tests.support import oracle
from tests.support.effort import effort
from tests.support.pipeline import tick

#: No program listens here.
CONFIG = {"bootstrap.servers": "127.0.0.1:1"}
TOPICS = contract.topics(TopicSettings())
ALLOWED_LATENESS = timedelta(minutes=2)
RULES = WindowRules(finality=FinalityRules(allowed_lateness_us=microseconds(ALLOWED_LATENESS)))
TICK_RULES = TickRules(10**18, price="mid")
WHERE = "stock_ticks partition 0"


@pytest.fixture(scope="module")
def transactions() -> Iterator[Transactions]:
    transactions = Transactions(CONFIG, "counts", 10_000)
    yield transactions
    transactions.close()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader(CONFIG)
    yield reader
    reader.close()


def candle_task(reader: Reader, transactions: Transactions) -> Partition:
    context = RestoreContext(
        reader=reader,
        topics=TOPICS,
        partition=0,
        rules=RULES,
        tick_rules=TICK_RULES,
        topic_id="id",
        tick_partitions=((TOPICS.ticks, 0),),
        is_rekeyed=False,
        on_step=ignore_step,
    )
    restored = RestoredState(Window(RULES), 0, 0, "run", {}, {})
    return Partition(context, restored, transactions, Metrics(AGGREGATE), keeps_time=False)


def forwarding_task(transactions: Transactions) -> ForwardingPartition:
    route = Route(
        TOPICS.ticks, "id", TOPICS.by_series, "target", TOPICS.dead, lambda number: number
    )
    alignment = WatermarkAlignment(10**9)
    metrics = Metrics(AGGREGATE)
    return ForwardingPartition(route, 0, 0, transactions, alignment, metrics, lambda _: None)


def batch_of(values: Sequence[bytes], first: int = 0) -> ParsedBatch:
    """A batch of records, by their values."""
    messages = [
        Message(topic=TOPICS.ticks, partition=0, offset=offset, value=value, timestamp=(1, 1))
        for offset, value in enumerate(values, first)
    ]
    return parse_ticks({0: messages}, TICK_RULES)[0]


def encoded(*ticks: dict[str, Any]) -> list[bytes]:
    return [json.dumps(tick).encode() for tick in ticks]


#: An accepted tick, its duplicate, a tick that moves the clock, one dropped as late, a dead letter.
EACH = batch_of(
    [
        *encoded(tick("2025-03-20T14:30:00"), tick("2025-03-20T14:30:00")),
        *encoded(tick("2025-03-20T14:40:00"), tick("2025-03-20T14:31:00")),
        b"{",
    ]
)


# --- sound parts ------------------------------------------------------------------------------
def test_each_record_counts_once(reader: Reader, transactions: Transactions) -> None:
    task = candle_task(reader, transactions)
    task.apply(EACH, 0)
    assert task._current.counts == TickCounts(
        read=5, accepted=2, duplicate=1, dropped_as_late=1, dead=1
    )


INVALID = st.sampled_from([b"", b"{", b"null", b'{"mid":1}', *encoded(tick("2025-02-30T00:00:00"))])
VALID = st.builds(
    lambda second, number, symbol: tick(
        f"2025-03-20T14:{second // 60:02}:{second % 60:02}", number=number, symbol=symbol
    ),
    st.integers(0, 599),
    st.integers(0, 2),
    st.sampled_from("AB"),
)
BATCH = st.lists(INVALID | VALID, min_size=1, max_size=30)


@effort()
@given(st.lists(BATCH, min_size=1, max_size=6))
def test_each_record_of_random_batches_counts_once(
    reader: Reader, transactions: Transactions, batches: list[list[bytes | dict[str, Any]]]
) -> None:
    candles = candle_task(reader, transactions)
    read: list[bytes | dict[str, Any]] = []
    for records in batches:
        values = [r if isinstance(r, bytes) else encoded(r)[0] for r in records]
        batch = batch_of(values, len(read))
        read += records
        candles.apply(batch, 0)
        rekeyed = outgoing(batch, WHERE)
        valid = [record for record in read if isinstance(record, dict)]
        fates = oracle.fates(valid, ALLOWED_LATENESS)
        assert candles._current.counts == TickCounts(
            read=len(read),
            accepted=fates.count("accepted"),
            duplicate=fates.count("duplicate"),
            dropped_as_late=fates.count("late"),
            dead=len(read) - len(valid),
        )
        is_tick = [isinstance(record, dict) for record in records]
        assert [row in rekeyed.forwarded.rows for row in range(len(records))] == is_tick
        assert [row not in rekeyed.dead.rows for row in range(len(records))] == is_tick


# --- broken parts -----------------------------------------------------------------------------
def without_dead_letters(batch: ParsedBatch) -> ParsedBatch:
    return replace(batch, bad=batch.bad.clear())


def without_a_tick(batch: ParsedBatch) -> ParsedBatch:
    return replace(batch, valid=batch.valid.tail(-1))


def with_a_dead_letter_for_a_valid_tick(batch: ParsedBatch) -> ParsedBatch:
    row = pl.DataFrame({"row": [0], "error": ["wrong"]}, schema=batch.bad.schema)
    return replace(batch, bad=pl.concat([row, batch.bad]))


BREAK = pytest.mark.parametrize(
    ("breaks", "rekey_error", "candle_error"),
    [
        (
            without_dead_letters,
            "5 records were read, but 4 count: valid 4, dead 0",
            "5 records were read, but 4 count: accepted 2, duplicate 1, dropped as late 1, dead 0, "
            "not applicable 0",
        ),
        (
            without_a_tick,
            "5 records were read, but 4 count: valid 3, dead 1",
            "5 records were read, but 4 count: accepted 2, duplicate 0, dropped as late 1, dead 1, "
            "not applicable 0",
        ),
        (
            with_a_dead_letter_for_a_valid_tick,
            "5 records were read, but 6 count: valid 4, dead 2",
            "5 records were read, but 6 count: accepted 2, duplicate 1, dropped as late 1, dead 2, "
            "not applicable 0",
        ),
    ],
)


@BREAK
def test_a_parser_that_loses_records_or_returns_them_twice_is_stopped(
    reader: Reader,
    transactions: Transactions,
    breaks: Callable[[ParsedBatch], ParsedBatch],
    rekey_error: str,
    candle_error: str,
) -> None:
    candles = candle_task(reader, transactions)
    with pytest.raises(InternalError) as raised:
        candles.apply(breaks(EACH), 0)
    assert raised.value.problem == f"{WHERE}: {candle_error}"
    with pytest.raises(InternalError) as raised:
        outgoing(breaks(EACH), WHERE)
    assert raised.value.problem == f"{WHERE}: {rekey_error}"
    # Nothing of the batch is applied.
    assert candles.offset == 0


def test_a_window_that_cannot_tell_whether_a_tick_is_late_is_stopped(
    reader: Reader, transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(window: Window, series: pl.DataFrame, ticks: pl.DataFrame) -> pl.Series:
        del window, series
        return pl.Series([None] * ticks.height, dtype=pl.Boolean)

    monkeypatch.setattr(Window, "_is_late", unknown)
    with pytest.raises(
        InternalError, match=r"5 records were read, but 1 count: .* dead 1, not .*; "
    ):
        candle_task(reader, transactions).apply(EACH, 0)


def test_a_window_that_counts_a_tick_twice_is_stopped(
    reader: Reader, transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Window.apply

    def twice(window: Window, ticks: pl.DataFrame) -> tuple[Window, ApplyResult]:
        applied, result = apply(window, ticks)
        return applied, replace(result, accepted=result.accepted + 1)

    monkeypatch.setattr(Window, "apply", twice)
    with pytest.raises(InternalError, match="5 records were read, but 6 count: accepted 3"):
        candle_task(reader, transactions).apply(EACH, 0)


def test_a_transaction_without_a_rejected_record_is_not_begun(
    reader: Reader, transactions: Transactions
) -> None:
    task = candle_task(reader, transactions)
    task.apply(EACH, 0)
    task._current = replace(task._current, rejected=task._current.rejected[1:])
    with pytest.raises(InternalError) as raised:
        task.publish(0, None)
    assert raised.value.problem == (
        f"{WHERE}: 1 records were rejected, but 2 count: dropped as late 1, dead 1"
    )


def test_a_transaction_without_a_forwarded_record_is_not_begun(transactions: Transactions) -> None:
    task = forwarding_task(transactions)
    task.apply(replace(outgoing(EACH, WHERE), dead=OutgoingRecords()), 0)
    with pytest.raises(InternalError) as raised:
        task.publish(0, None)
    assert (
        raised.value.problem
        == f"{WHERE}: 5 records were due, but 4 count: forwarded 4, dead 0, left out 0"
    )
