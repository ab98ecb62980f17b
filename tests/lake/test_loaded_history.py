"""History is final when it is loaded, if it is over, and live ticks continue what is not."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from homma.core.candle import order_key_us
from homma.core.finality import FinalityRules
from homma.core.interval import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from homma.lake.schema import candle_tables
from tests.lake.loading import backfill
from tests.support.landing import counts, verified
from tests.support.pipeline import KEY, Pipeline, batch_candles, same_candles, tick
from tests.support.sinks import Sinks

RULES = FinalityRules()
#: A day of a past year: 2024-03-20T12:00.
PAST_US = 1_710_936_000_000_000


@pytest.fixture
def sinks(bootstrap: str, lake: dict[str, str], namespace: str, tmp_path: Path) -> Sinks:
    return Sinks(Pipeline(bootstrap), lake, namespace, tmp_path)


def now() -> int:
    return time.time_ns() // 1000


def ticks_at(
    at_us: Iterable[int], symbol: str = "AAA", *, price: float = 1.0
) -> list[dict[str, object]]:
    """Ticks of a series; their prices tell them apart."""
    return [
        tick(
            datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
            price + n % 7,
            us // SECOND_US,
            symbol,
        )
        for n, us in enumerate(at_us)
    ]


def history(until_us: int, symbol: str = "AAA") -> list[dict[str, object]]:
    """Ticks up to an instant: sparse over the last 40 days, and dense in the last 2 hours."""
    sparse = range(until_us - 40 * DAY_US, until_us - 2 * HOUR_US, 7 * HOUR_US)
    dense = range(until_us - 2 * HOUR_US, until_us + 1, 20 * SECOND_US)
    return ticks_at([*sparse, *dense], symbol)


def file_of(sinks: Sinks, ticks: Sequence[dict[str, object]]) -> Path:
    path = sinks.folder / f"{len(list(sinks.folder.iterdir()))}.ndjson"
    pl.DataFrame(ticks).write_ndjson(path)
    return path


def states(candles: pl.DataFrame) -> set[tuple[bool, int]]:
    """The pairs of `is_final` and `revision` that occur."""
    return set(candles.select("is_final", "revision").rows())


def landed(sinks: Sinks) -> pl.DataFrame:
    """Source, symbol, interval, start, `is_final` and `revision` of the rows of all tables."""
    return pl.concat(
        sinks.rows(spec.name).select(
            "source",
            "symbol",
            pl.lit(code).alias("interval"),
            pl.col("date_time").dt.epoch("us").alias("start_us"),
            "is_final",
            "revision",
        )
        for spec, code in zip(
            candle_tables(sinks.pipeline.calendar), sinks.pipeline.calendar.codes, strict=True
        )
    ).sort(KEY)


def land_and_check(sinks: Sinks, ticks: Sequence[dict[str, object]]) -> pl.DataFrame:
    """The candles, after a check that topics and tables have them, and those of these ticks."""
    sinks.work_off()
    candles, expected = sinks.pipeline.candles(), batch_candles(ticks)
    same_candles(candles, expected)
    columns = [*KEY, "is_final", "revision"]
    in_topics = candles.select(columns).with_columns(pl.col("interval").cast(pl.String)).sort(KEY)
    assert in_topics.rows() == landed(sinks).rows()
    assert counts(verified(sinks)) == ({"equal": expected.height}, {"equal": expected.height})
    return candles


def has_gone_back(before: pl.DataFrame, after: pl.DataFrame) -> bool:
    """Whether a candle is missing, open again, or of an earlier revision."""
    pairs = before.join(after, on=KEY, how="left", suffix="_after")
    is_reopened = pl.col("is_final") & ~pl.col("is_final_after").fill_null(value=False)
    is_earlier = pl.col("revision_after").fill_null(-1) < pl.col("revision")
    return not pairs.filter(is_reopened | is_earlier).is_empty()


def test_history_of_a_past_year_is_final_and_later_loads_correct_it(sinks: Sinks) -> None:
    morning = ticks_at(range(PAST_US, PAST_US + 2 * HOUR_US, 40 * SECOND_US))
    other = ticks_at(range(PAST_US, PAST_US + HOUR_US, 40 * SECOND_US), "BBB")
    first = file_of(sinks, [*morning, *other])
    backfill(sinks, first)
    before = land_and_check(sinks, [*morning, *other])
    assert states(before) == {(True, 1)}
    # Nothing changes.
    assert backfill(sinks, first).published == {}
    # More ticks of the same day: earlier, within, and later than those.
    more_us = [
        *range(PAST_US - HOUR_US, PAST_US, 30 * SECOND_US),
        PAST_US + 90 * MINUTE_US + SECOND_US,
        PAST_US + 5 * HOUR_US,
    ]
    more = ticks_at(more_us, price=20)
    backfill(sinks, file_of(sinks, more))
    after = land_and_check(sinks, [*morning, *other, *more])
    changed = batch_candles(more).select(KEY)
    assert states(after.join(before, on=KEY, how="anti")) == {(True, 1)}
    old = after.join(before, on=KEY, how="semi")
    assert states(old.join(changed, on=KEY, how="semi")) == {(True, 2)}
    assert states(old.join(changed, on=KEY, how="anti")) == {(True, 1)}
    assert {"m1", "h1", "D1", "W1", "M1"} <= set(old.filter(revision=2)["interval"])
    # An engine that starts now leaves all of it alone.
    sinks.pipeline.work_off()
    assert sinks.pipeline.candles().equals(after)


def test_live_ticks_continue_loaded_history(sinks: Sinks) -> None:
    now_us = now()
    newest_us = now_us - 30 * SECOND_US
    ticks = history(newest_us)
    backfill(sinks, file_of(sinks, ticks), now_us=now_us)
    loaded = land_and_check(sinks, ticks)
    over = pl.col("end_us") <= now_us - RULES.idle_timeout_us
    assert loaded.select((pl.col("is_final") == over).all()).item()
    assert states(loaded) == {(True, 1), (False, 0)}
    # An engine without a tick of the series: by the clock, and by nothing else.
    sinks.pipeline.send(*ticks_at([now_us], "OTHER"))
    sinks.pipeline.work_off()
    idle = sinks.pipeline.candles().filter(symbol="AAA")
    assert not has_gone_back(loaded, idle)
    assert idle.filter("is_final").select((pl.col("end_us") <= now()).all()).item()
    assert states(idle) == {(True, 1), (False, 0)}
    # Live ticks: what is open grows, and what was final stays, or is corrected.
    live_us = now()
    live = ticks_at([live_us, live_us + SECOND_US])
    sinks.pipeline.send(*live)
    sinks.pipeline.work_off()
    after = land_and_check(sinks, [*ticks, *live, *ticks_at([now_us], "OTHER")])
    after = after.filter(symbol="AAA")
    assert not has_gone_back(idle, after)
    current = after.filter(pl.col("end_us") > live_us + SECOND_US)
    assert states(current) == {(False, 0)}
    assert {"D1", "M1"} <= set(current["interval"])
    # A restart changes nothing, and history that is loaded now belongs to the past.
    sinks.pipeline.work_off()
    assert sinks.pipeline.candles().filter(symbol="AAA").equals(after)
    older = ticks_at(range(PAST_US, PAST_US + HOUR_US, 50 * SECOND_US), price=30)
    backfill(sinks, file_of(sinks, older))
    sinks.pipeline.work_off()
    end = land_and_check(sinks, [*ticks, *live, *older, *ticks_at([now_us], "OTHER")])
    assert not has_gone_back(after, end)
    assert states(end.join(after, on=KEY, how="anti").filter(symbol="AAA")) == {(True, 1)}


def test_history_is_loaded_while_live_ticks_arrive(sinks: Sinks) -> None:
    """Live ticks that the engine has not read yet are not overtaken by the clock."""
    live_us = now()
    first, unread = ticks_at([live_us]), ticks_at([live_us + SECOND_US], "BBB")
    sinks.pipeline.send(*first)
    sinks.pipeline.work_off()
    sinks.pipeline.send(*unread)
    later_us = now() + 100 * DAY_US
    recorded = [*history(live_us - MINUTE_US), *history(live_us - MINUTE_US, "BBB")]
    backfill(sinks, file_of(sinks, recorded), now_us=later_us)
    loaded = sinks.pipeline.candles()
    last_us = order_key_us(pl.col("close_order_key"))
    newest_us = last_us.max().over("symbol")
    by_event = pl.col("end_us") <= newest_us - RULES.watermark_delay_us
    assert loaded.filter(symbol="AAA").select((pl.col("is_final") == by_event).all()).item()
    # The first unread tick tells how late it is, whatever the clock of this machine says.
    current = loaded.filter(pl.col("end_us") > now())
    assert {"AAA", "BBB"} == set(current["symbol"])
    assert states(current) == {(False, 0)}
    sinks.pipeline.work_off()
    after = land_and_check(sinks, [*first, *unread, *recorded])
    assert not has_gone_back(loaded, after)
    assert states(after.filter(pl.col("end_us") > live_us + SECOND_US)) == {(False, 0)}


def test_newer_history_after_older(sinks: Sinks) -> None:
    now_us = now()
    ticks = history(now_us - 20 * DAY_US)
    backfill(sinks, file_of(sinks, ticks), now_us=now_us - 10 * MINUTE_US)
    before = sinks.pipeline.candles()
    hourly = range(now_us - 19 * DAY_US, now_us - HOUR_US, HOUR_US)
    newer = ticks_at([*hourly, *range(now_us - HOUR_US, now_us - MINUTE_US, MINUTE_US)])
    backfill(sinks, file_of(sinks, newer), now_us=now_us)
    after = land_and_check(sinks, [*ticks, *newer])
    assert not has_gone_back(before, after)
    over = pl.col("end_us") <= now_us - RULES.idle_timeout_us
    assert after.select((pl.col("is_final") == over).all()).item()
    # The engine knows since when the series has been idle: by its clock, no candle is over yet.
    sinks.pipeline.work_off()
    idle = sinks.pipeline.candles()
    assert idle.filter("is_final").select((pl.col("end_us") <= now()).all()).item()
    live = ticks_at([now()])
    sinks.pipeline.send(*live)
    sinks.pipeline.work_off()
    assert not has_gone_back(idle, land_and_check(sinks, [*ticks, *newer, *live]))
