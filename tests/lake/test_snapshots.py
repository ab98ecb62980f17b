"""What a commit takes away is found, whoever else looks at the same time."""

import threading
from typing import Any

from pyiceberg.conversions import to_bytes
from pyiceberg.expressions import And, EqualTo
from pyiceberg.expressions.visitors import manifest_evaluator
from pyiceberg.manifest import ManifestFile, PartitionFieldSummary
from pyiceberg.types import BooleanType, DateType, PrimitiveType

from homma.lake.schema import CANDLES
from homma.lake.table import definition
from homma.lake.table.snapshots import one_at_a_time

#: Its types know no values.
EQUAL: Any = EqualTo
SCHEMA = definition.schema(CANDLES[0])
SPEC = definition.partitioning(CANDLES[0], SCHEMA)


def bounds(kind: PrimitiveType, value: Any) -> PartitionFieldSummary:
    there = to_bytes(kind, value)
    return PartitionFieldSummary.from_args(
        contains_null=False, contains_nan=False, lower_bound=there, upper_bound=there
    )


def partitions(day: int) -> list[PartitionFieldSummary]:
    return [bounds(BooleanType(), False), bounds(DateType(), day)]


def manifest(summaries: list[PartitionFieldSummary]) -> ManifestFile:
    return ManifestFile.from_args(manifest_path="m", partition_spec_id=0, partitions=summaries)


class Interrupted(list[PartitionFieldSummary]):
    """While it is looked at, another thread looks at another manifest."""

    def __init__(self, summaries: list[PartitionFieldSummary], other: threading.Thread) -> None:
        super().__init__(summaries)
        self._other = other

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        if self._other.ident is None:
            self._other.start()
            self._other.join(0.5)
        return found


def test_a_manifest_is_judged_by_itself_while_another_is_looked_at() -> None:
    wanted = And(EQUAL("is_final", False), EQUAL("date_time_day", 20_000))
    may_hold = one_at_a_time(manifest_evaluator(SPEC, SCHEMA, wanted))
    told: list[bool] = []
    other = threading.Thread(target=lambda: told.append(may_hold(manifest(partitions(30_000)))))
    assert may_hold(manifest(Interrupted(partitions(20_000), other)))
    other.join()
    assert told == [False]
