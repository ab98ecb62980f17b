"""One run of each engine over everything that the cases hold."""

from dataclasses import dataclass

import polars as pl
import pytest

from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import market
from tests.flink.cases import Case, broken, generated, golden
from tests.flink.flinks import Flink, keep_for_ever, send, timed

#: Not of the cases: with duplicates, disorder, late and broken ticks.
MARKET = 20_000


@dataclass(frozen=True)
class Made:
    """What the engines made of the same topic of ticks."""

    cases: list[Case]
    broken: dict[str, Case]
    pipeline: Pipeline
    flink: Flink
    embedded: pl.DataFrame
    candles: pl.DataFrame


@pytest.fixture(scope="session")
def made(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    pipeline = timed(bootstrap)
    cases, dead = [*golden(), *generated()], broken()
    records = [record for case in (*cases, *dead.values()) for record in case.records]
    send(pipeline, [*records, *((key, value, None) for key, value in market(8, MARKET, 8))])
    flink = Flink(pipeline, tmp_path_factory.mktemp("flink"))
    # Too-late ticks keep the timestamps that they had.
    keep_for_ever(flink.pipeline)
    flink.work_off()
    pipeline.work_off()
    return Made(cases, dead, pipeline, flink, pipeline.candles(), flink.pipeline.candles())
