"""A commit finds the files to remove, even if several threads evaluate manifests."""

import threading
from typing import Any

from pyiceberg.conversions import to_bytes
from pyiceberg.expressions import And, EqualTo
from pyiceberg.expressions.visitors import manifest_evaluator
from pyiceberg.manifest import ManifestFile, PartitionFieldSummary
from pyiceberg.types import BooleanType, DateType, PrimitiveType

from homma.lake.table import definition
from homma.lake.table.snapshots import serialized
from tests.support.candle_rows import MINUTES

#: pyiceberg's types do not accept plain values.
EQUAL: Any = EqualTo
SCHEMA = definition.schema(MINUTES)
SPEC = definition.partitioning(MINUTES, SCHEMA)


def bounds(kind: PrimitiveType, value: Any) -> PartitionFieldSummary:
    encoded = to_bytes(kind, value)
    return PartitionFieldSummary.from_args(
        contains_null=False, contains_nan=False, lower_bound=encoded, upper_bound=encoded
    )


def partitions(day: int) -> list[PartitionFieldSummary]:
    return [bounds(BooleanType(), False), bounds(DateType(), day)]


def manifest(summaries: list[PartitionFieldSummary]) -> ManifestFile:
    return ManifestFile.from_args(manifest_path="m", partition_spec_id=0, partitions=summaries)


class Interrupted(list[PartitionFieldSummary]):
    """While this manifest is evaluated, another thread evaluates another one."""

    def __init__(self, summaries: list[PartitionFieldSummary], other: threading.Thread) -> None:
        super().__init__(summaries)
        self._other = other

    def __getitem__(self, at: Any) -> Any:
        summary = super().__getitem__(at)
        if self._other.ident is None:
            self._other.start()
            self._other.join(0.5)
        return summary


def test_threads_evaluate_their_own_manifests() -> None:
    condition = And(EQUAL("is_final", False), EQUAL("date_time_day", 20_000))
    may_contain = serialized(manifest_evaluator(SPEC, SCHEMA, condition))
    results: list[bool] = []
    other = threading.Thread(
        target=lambda: results.append(may_contain(manifest(partitions(30_000))))
    )
    assert may_contain(manifest(Interrupted(partitions(20_000), other)))
    other.join()
    assert results == [False]
