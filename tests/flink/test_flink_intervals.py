"""Flink and the embedded engine agree on seconds, and on a base that was not chosen."""

from pathlib import Path

import pytest

from homma.core.calendar import calendar_of
from tests.flink.flinks import Flink, accept_any_timestamp, pipeline_with_timestamps, send
from tests.support.engines import market
from tests.support.pipeline import Pipeline, same_candles

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
MARKET = 20_000


def late_ticks(pipeline: Pipeline) -> int:
    return len(pipeline.records(pipeline.topics.late))


@pytest.mark.parametrize("codes", ["s10,m1,h2", "m20,m30"])
def test_flink_has_the_candles_of_other_intervals(
    bootstrap: str, tmp_path: Path, codes: str
) -> None:
    calendar = calendar_of(codes.split(","))
    pipeline = pipeline_with_timestamps(bootstrap, calendar=calendar)
    send(pipeline, [(key, value, None) for key, value in market(8, MARKET, 8)])
    flink = Flink(pipeline, tmp_path / "home")
    accept_any_timestamp(flink.pipeline)
    flink.run_to_end()
    pipeline.work_off()
    candles = flink.pipeline.candles()
    assert set(candles["interval"].unique()) == set(calendar.codes)
    same_candles(candles, pipeline.candles())
    assert late_ticks(flink.pipeline) == late_ticks(pipeline) > 0
    # Flink needs no clocks of months.
    assert not flink.pipeline.records(flink.pipeline.topics.candles["M1"])
