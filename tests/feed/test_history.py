"""Synthetic history: enough candles in every interval, market hours, and no jump to live ticks."""

from datetime import UTC, datetime
from math import inf
from random import Random
from typing import get_args

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import DAY_US, HOUR_US, MINUTE_US
from homma.feed.history import HISTORY_TICK, HistoryTicks, leading_to
from homma.feed.instruments import Kind, market
from homma.feed.market_hours import HALF_HOUR_US, MARKETS
from homma.feed.source import Pacer
from homma.feed.synthetic import Synthetic
from homma.feed.trades import TRADE
from homma.settings import GenerateSettings, TickKinds
from tests.feed.market import checked, take_values


def us(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1_000_000


WEDNESDAY = us(2026, 11, 25, 15, 20) + 17_000_000
SUNDAY = us(2026, 11, 29, 11, 3)
#: When the markets of all instruments have been closed for more than a day.
ENDS = {"open": WEDNESDAY, "weekend": SUNDAY}
SOURCES, INSTRUMENTS = market("7", 2, 10)
KINDS = {item.symbol: item.kind for item in INSTRUMENTS}
#: The fewest candles of each interval after 400 days.
FEWEST = dict.fromkeys(DEFAULT_CALENDAR.codes, 150) | {"W1": 57, "M1": 14}


def made(end_us: int, seed: str = "7", length_us: int = 400 * DAY_US) -> HistoryTicks:
    return leading_to(end_us, length_us, SOURCES, INSTRUMENTS, Random(seed))


@pytest.fixture(scope="module", params=list(ENDS))
def end_us(request: pytest.FixtureRequest) -> int:
    return ENDS[request.param]


@pytest.fixture(scope="module")
def ticks(end_us: int) -> HistoryTicks:
    return made(end_us)


def test_every_series_has_the_candles_that_a_chart_shows(ticks: HistoryTicks) -> None:
    starts = [i.floor(pl.col("number")).n_unique().alias(i.code) for i in DEFAULT_CALENDAR]
    counts = ticks.group_by("source", "symbol").agg(starts)
    assert counts.height == len(SOURCES) * len(INSTRUMENTS)
    fewest = counts.select(pl.col(DEFAULT_CALENDAR.codes).min()).row(0, named=True)
    assert {code: n for code, n in fewest.items() if n < FEWEST[code]} == {}


@pytest.mark.parametrize("code", ["m1", "m5", "m10", "m15", "m30", "h1", "h3", "h4", "D1"])
def test_the_candles_of_a_chart_have_ticks_enough_and_no_holes(
    ticks: HistoryTicks, code: str
) -> None:
    interval = next(i for i in DEFAULT_CALENDAR if i.code == code)
    crypto = ticks.filter(pl.col("symbol") == "BTCUSD", pl.col("source") == "SOURCE_1")
    candles = crypto.group_by(start=interval.floor(pl.col("number"))).len().sort("start").tail(150)
    assert candles["start"].diff().drop_nulls().unique().to_list() == [interval.longest_us]
    assert candles.head(-1)["len"].min() >= 4  # type: ignore[operator]


def test_the_prices_lead_up_to_those_of_the_first_live_ticks(
    ticks: HistoryTicks, end_us: int
) -> None:
    live = Synthetic(SOURCES, INSTRUMENTS, 1_000, end_us, Random("9"), pace=Pacer(end_us, inf, 0))
    first = checked(take_values(live, 10_000), end_us).unique(
        ["source", "symbol"], keep="first", maintain_order=True
    )
    last = ticks.unique(["source", "symbol"], keep="last", maintain_order=True)
    joined = last.join(first, on=["source", "symbol"], suffix="_live")
    assert joined.height == len(SOURCES) * len(INSTRUMENTS)
    # The walk of a few milliseconds, which may be the last decimal of a low price.
    jump = (joined["bid_live"] / joined["bid"] - 1).abs().max()
    assert jump is not None
    assert jump < 0.000_5  # type: ignore[operator]
    assert last["number"].max() < end_us  # type: ignore[operator]
    # Every series has ticks until the last minute, also while its market is closed.
    assert last["number"].min() > end_us - MINUTE_US  # type: ignore[operator]


def test_there_is_no_jump_within_the_history(ticks: HistoryTicks) -> None:
    """No step is larger than a day of the instrument's volatility explains."""
    by_name = ["source", "symbol"]
    volatility = pl.DataFrame(
        [(item.symbol, item.volatility) for item in INSTRUMENTS],
        schema=["symbol", "volatility"],
        orient="row",
    )
    steps = (
        ticks.with_columns(step=pl.col("mid").log().diff().abs().over(by_name))
        .drop_nulls("step")
        .join(volatility, on="symbol")
        .filter(pl.col("number") > pl.col("number").max() - 150 * DAY_US)
    )
    days = steps.select((pl.col("step") / pl.col("volatility")).max()).item() / (1 / 365) ** 0.5
    assert days < 2.5


def test_prices_move_in_a_day_as_the_volatility_says(ticks: HistoryTicks) -> None:
    closes = (
        ticks.filter(pl.col("symbol") == "BTCUSD")
        .group_by("source", day=pl.col("number") // DAY_US, maintain_order=True)
        .agg(pl.col("mid").last())
        .group_by("source", maintain_order=True)
        .tail(150)
        .with_columns(change=pl.col("mid").log().diff().over("source"))
    )
    expected = next(i.volatility for i in INSTRUMENTS if i.symbol == "BTCUSD") / 365**0.5
    deviation = closes["change"].drop_nulls().std()
    assert deviation is not None
    assert 0.7 < deviation / expected < 1.4


def test_shares_and_fx_rest_at_weekends_and_crypto_never_does(
    ticks: HistoryTicks, end_us: int
) -> None:
    older = ticks.filter(pl.col("number") < end_us - 3 * HOUR_US).with_columns(
        kind=pl.col("symbol").replace_strict(KINDS),
        weekday=pl.from_epoch("number", time_unit="us").dt.weekday(),
        hour=pl.from_epoch("number", time_unit="us").dt.hour(),
    )
    by_kind = {str(kind): rows for (kind,), rows in older.group_by("kind")}
    assert set(by_kind["share"]["weekday"]) == {1, 2, 3, 4, 5}
    assert set(by_kind["share"]["hour"]) == {14, 15, 16, 17, 18, 19, 20}
    assert set(by_kind["fx"]["weekday"]) == {1, 2, 3, 4, 5, 7}
    sundays = by_kind["fx"].filter(pl.col("weekday") == 7)
    assert set(sundays["hour"]) == {22, 23}
    assert set(by_kind["crypto"]["weekday"]) == {1, 2, 3, 4, 5, 6, 7}
    days = by_kind["crypto"].filter(pl.col("number") > end_us - 150 * DAY_US)
    assert days.select((pl.col("number") // DAY_US).n_unique()).item() >= 149


@pytest.mark.parametrize(
    ("kind", "busy", "quiet"),
    [("share", 14.5, 17.5), ("share", 20.5, 17.5), ("fx", 14, 3), ("crypto", 15, 4)],
)
def test_the_volume_has_the_shape_of_a_day(kind: Kind, busy: float, quiet: float) -> None:
    def volume(hour: float) -> float:
        at = pl.lit(us(2026, 11, 25) + int(hour * HOUR_US), pl.Int64)
        return float(pl.select(MARKETS[kind].activity(at)).item())

    assert volume(busy) > 1.5 * volume(quiet) > 0
    # The ticks of hours follow it.
    ticks = made(us(2026, 11, 25, 23), length_us=5 * DAY_US).filter(
        pl.col("symbol").replace_strict(KINDS) == kind
    )
    start_us = us(2026, 11, 24) + int(hour_floor(busy)), us(2026, 11, 24) + int(hour_floor(quiet))
    counts = [
        ticks.filter(pl.col("number").is_between(at, at + HALF_HOUR_US, closed="left")).height
        for at in start_us
    ]
    assert counts[0] > counts[1] > 0


def hour_floor(hour: float) -> float:
    return hour * HOUR_US


def test_ticks_get_sparser_with_their_age(ticks: HistoryTicks, end_us: int) -> None:
    ages = (10 * MINUTE_US, DAY_US, 30 * DAY_US, 390 * DAY_US)
    counts = [
        ticks.filter(pl.col("number").is_between(end_us - age, end_us)).height / age for age in ages
    ]
    assert counts == sorted(counts, reverse=True)
    # Loading them must take a few seconds only.
    assert ticks.height < 300_000


def test_every_tick_is_valid_and_has_an_identity_of_its_own(
    ticks: HistoryTicks, end_us: int
) -> None:
    assert dict(ticks.schema) == dict(HISTORY_TICK)
    nulls = ticks.null_count().row(0, named=True)
    assert nulls == {name: ticks.height if name in TRADE else 0 for name in HISTORY_TICK}
    assert ticks.select("source", "symbol", "number").is_duplicated().any() is False
    assert ticks["number"].is_sorted()
    assert ticks["number"].min() >= end_us - 401 * DAY_US  # type: ignore[operator]
    # Live ticks that are late have odd numbers.
    assert (ticks["number"] % 2).max() == 0
    assert ticks.select((pl.col("bid") > 0) & (pl.col("bid") < pl.col("ask"))).to_series().all()
    between = (pl.col("bid") <= pl.col("mid")) & (pl.col("mid") <= pl.col("ask"))
    assert ticks.select(between).to_series().all()


def test_the_same_seed_and_end_give_the_same_ticks() -> None:
    ticks = made(WEDNESDAY, length_us=DAY_US)
    assert made(WEDNESDAY, length_us=DAY_US).equals(ticks)
    assert not made(WEDNESDAY, "8", length_us=DAY_US).equals(ticks)


def test_history_of_trades_takes_place_at_the_same_quotes() -> None:
    quotes, trades, both = (
        leading_to(WEDNESDAY, DAY_US, SOURCES, INSTRUMENTS, Random("7"), kinds)
        for kinds in get_args(TickKinds)
    )
    assert dict(quotes.schema) == dict(trades.schema) == dict(both.schema) == dict(HISTORY_TICK)
    assert both.drop(TRADE).equals(quotes.drop(TRADE))
    assert both.drop("ask", "bid", "mid").equals(trades.drop("ask", "bid", "mid"))
    assert trades.select("ask", "bid", "mid").null_count().row(0) == (trades.height,) * 3
    is_at_quote = (pl.col("price") == pl.col("bid")) | (pl.col("price") == pl.col("ask"))
    assert both.select(is_at_quote.all(), (pl.col("size") > 0).all()).row(0) == (True, True)


def test_a_short_history_is_as_long_as_asked_for() -> None:
    ticks = made(WEDNESDAY, length_us=2 * DAY_US)
    assert WEDNESDAY - 3 * DAY_US < ticks["number"].min() < WEDNESDAY - DAY_US  # type: ignore[operator]
    assert made(WEDNESDAY, length_us=MINUTE_US)["number"].min() >= WEDNESDAY - 2 * MINUTE_US  # type: ignore[operator]


def test_the_instruments_are_those_of_the_generator() -> None:
    defaults = GenerateSettings()
    assert defaults.series == 20
    assert {item.kind for item in INSTRUMENTS} == {"crypto", "fx", "share"}
