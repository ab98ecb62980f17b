"""Table ownership: commits of a replaced sink are refused, whatever is in flight."""

from collections.abc import Iterator
from types import MappingProxyType

import pytest

from homma.errors import CommitUnknown, StaleSink
from homma.failpoint import ignore_step
from homma.lake.land.iceberg.committing import Committer, PreparedCommit, RetryPolicy
from homma.lake.schema import TICKS
from homma.lake.table import Lake
from homma.lake.table.offsets import Offsets
from tests.lake.proxy import COMMIT, Effect, Fault, Way
from tests.support.candle_rows import tick, ticks

OFFSETS = Offsets("stock_ticks", "id", MappingProxyType({0: 1}))


@pytest.fixture
def lakes(lake: dict[str, str], namespace: str) -> Iterator[tuple[Lake, Lake]]:
    lakes = Lake(lake, namespace), Lake(lake, namespace)
    yield lakes
    for client in lakes:
        client.close()


def committer(lake: Lake, outcomes: list[str]) -> Committer:
    sink = Committer(
        lake.ensure_table(TICKS), RetryPolicy(lambda: False), ignore_step, outcomes.append
    )
    sink.claim()
    return sink


def put(sink: Committer, offset: int) -> None:
    rows = ticks(tick(offset))
    sink.commit(lambda _: PreparedCommit(sink.table.upload(rows)), OFFSETS.advanced({0: offset}))


def test_a_replaced_sink_is_refused_before_the_first_rows_of_its_successor(
    lakes: tuple[Lake, Lake],
) -> None:
    outcomes: list[str] = []
    first = committer(lakes[0], outcomes)
    put(first, 1)
    second = committer(lakes[1], outcomes)
    assert second.known_offsets == OFFSETS
    with pytest.raises(StaleSink, match="another sink has taken over"):
        put(first, 2)
    put(second, 3)
    assert lakes[0].table(TICKS).scan()["kafka_offset"].sort().to_list() == [1, 3]
    assert outcomes == ["committed", "refused", "committed"]


def test_a_claim_during_a_commit_continues_after_that_commit(
    lakes: tuple[Lake, Lake],
) -> None:
    outcomes: list[str] = []
    first = committer(lakes[0], outcomes)
    late = Committer(
        lakes[1].table(TICKS), RetryPolicy(lambda: False), ignore_step, outcomes.append
    )
    put(first, 1)
    late.claim()
    assert late.known_offsets == OFFSETS
    put(late, 2)
    assert lakes[0].table(TICKS).scan().height == 2


def test_a_stopping_sink_tries_once_more_and_then_reports_the_error(
    lakes: tuple[Lake, Lake], way: Way, namespace: str
) -> None:
    outcomes: list[str] = []
    lakes[0].ensure_table(TICKS)
    lake = Lake(way.properties, namespace)
    fault = Fault(COMMIT, Effect.ERROR)
    sink = Committer(
        lake.table(TICKS), RetryPolicy(fault.struck.is_set), ignore_step, outcomes.append
    )
    sink.claim()
    way.faults.plan(fault)
    put(sink, 1)
    assert outcomes == ["unknown", "committed"]
    way.faults.plan(Fault(COMMIT, Effect.ERROR))
    with pytest.raises(CommitUnknown):
        put(sink, 2)
    lake.close()
    assert outcomes == ["unknown", "committed", "unknown"]
    assert lakes[1].table(TICKS).scan()["kafka_offset"].to_list() == [1]
