"""Whose table it is: a sink that was replaced gets nothing in, whatever it still had in hand."""

from collections.abc import Iterator
from types import MappingProxyType

import pytest

from homma.errors import CommitUnknown, StaleSink
from homma.failpoint import ignored
from homma.lake.committing import Committer, Prepared, RetryPolicy
from homma.lake.offsets import Offsets
from homma.lake.schema import TICKS
from homma.lake.table import Lake
from tests.lake.proxy import COMMIT, Effect, Fault, Way
from tests.lake.rows import tick, ticks

OFFSETS = Offsets("stock_ticks", "id", MappingProxyType({0: 1}))


@pytest.fixture
def lakes(lake: dict[str, str], namespace: str) -> Iterator[tuple[Lake, Lake]]:
    both = Lake(lake, namespace), Lake(lake, namespace)
    yield both
    for one in both:
        one.close()


def committer(lake: Lake, outcomes: list[str]) -> Committer:
    found = Committer(lake.make(TICKS), RetryPolicy(lambda: False), ignored, outcomes.append)
    found.claim()
    return found


def put(sink: Committer, offset: int) -> None:
    rows = ticks(tick(offset))
    sink.commit(lambda _: Prepared(sink.table.upload(rows)), OFFSETS.moved({0: offset}))


def test_who_was_replaced_gets_nothing_in_even_before_the_successors_first_rows(
    lakes: tuple[Lake, Lake],
) -> None:
    outcomes: list[str] = []
    first = committer(lakes[0], outcomes)
    put(first, 1)
    second = committer(lakes[1], outcomes)
    assert second.believed == OFFSETS
    with pytest.raises(StaleSink, match="another sink has taken over"):
        put(first, 2)
    put(second, 3)
    assert lakes[0].table(TICKS).scan()["kafka_offset"].sort().to_list() == [1, 3]
    assert outcomes == ["committed", "refused", "committed"]


def test_who_claims_a_table_that_moves_on_meanwhile_goes_on_from_there(
    lakes: tuple[Lake, Lake],
) -> None:
    outcomes: list[str] = []
    first = committer(lakes[0], outcomes)
    late = Committer(lakes[1].table(TICKS), RetryPolicy(lambda: False), ignored, outcomes.append)
    put(first, 1)
    late.claim()
    assert late.believed == OFFSETS
    put(late, 2)
    assert lakes[0].table(TICKS).scan().height == 2


def test_who_is_asked_to_stop_tries_once_more_and_then_says_what_failed(
    lakes: tuple[Lake, Lake], way: Way, namespace: str
) -> None:
    outcomes: list[str] = []
    lakes[0].make(TICKS)
    lake = Lake(way.properties, namespace)
    fault = Fault(COMMIT, Effect.ERROR)
    sink = Committer(lake.table(TICKS), RetryPolicy(fault.struck.is_set), ignored, outcomes.append)
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
