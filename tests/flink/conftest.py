"""One run of each engine over the ticks of all cases."""

from dataclasses import dataclass

import polars as pl
import pytest

from tests.flink.cases import Case, generated, golden, invalid
from tests.flink.flinks import Flink, accept_any_timestamp, pipeline_with_timestamps, send
from tests.support.engines import market
from tests.support.pipeline import Pipeline

#: Additional ticks with duplicates, disorder, late ticks and invalid records.
MARKET = 20_000


@dataclass(frozen=True)
class EngineResults:
    """The candles of each engine for the same tick topic."""

    cases: list[Case]
    invalid: dict[str, Case]
    pipeline: Pipeline
    flink: Flink
    embedded: pl.DataFrame
    candles: pl.DataFrame


@pytest.fixture(scope="session")
def results(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> EngineResults:
    pipeline = pipeline_with_timestamps(bootstrap)
    cases, invalid_cases = [*golden(), *generated()], invalid()
    records = [record for case in (*cases, *invalid_cases.values()) for record in case.records]
    send(pipeline, [*records, *((key, value, None) for key, value in market(8, MARKET, 8))])
    flink = Flink(pipeline, tmp_path_factory.mktemp("flink"))
    # Ticks dropped as late keep their timestamps.
    accept_any_timestamp(flink.pipeline)
    flink.run_to_end()
    pipeline.work_off()
    return EngineResults(
        cases, invalid_cases, pipeline, flink, pipeline.candles(), flink.pipeline.candles()
    )
