"""Made-up ticks: the contract's rules, plausible walks, and the flaws that were asked for."""

import json
import re
from math import log

import polars as pl
import pytest

from homma.errors import SettingError
from homma.feed.instruments import CRYPTO, FX, market
from homma.feed.invalid import WAYS
from homma.feed.synthetic import MOST_PER_S, Flaws
from tests.feed.market import SECOND_US, START_US, judged, made_up, taken

ALL_FLAWS = Flaws(late=0.02, out_of_order=0.05, duplicates=0.03, invalid=0.04)
IDENTITY = ("source", "symbol", "dateTime", "number")
MINUTE_US = 60 * SECOND_US


# Two pieces of 8192 are all that is made at a time, those included that are due much later.
@pytest.mark.parametrize(("piece", "flaws"), [(777, ALL_FLAWS), (8_192, Flaws(out_of_order=1))])
def test_the_same_seed_gives_the_same_bytes_however_they_are_taken(
    piece: int, flaws: Flaws
) -> None:
    whole = taken(made_up(flaws=flaws), 40_000)
    assert taken(made_up(flaws=flaws), 40_000, piece) == whole
    assert taken(made_up("8", flaws=flaws), 40_000) != whole


def test_pacing_does_not_change_the_bytes() -> None:
    paced, values = made_up(flaws=ALL_FLAWS, speed=1), []
    for now_us in range(0, 30 * SECOND_US, 50_000):
        records = paced.take(now_us, 10_000)
        assert records is not None
        values += records.values
    assert values == taken(made_up(flaws=ALL_FLAWS), len(values))
    assert len(values) > 29_000


def test_every_tick_keeps_the_contract() -> None:
    ticks = judged(taken(made_up(rate_per_s=500), 50_000), START_US + 101 * SECOND_US)
    assert ticks["error"].null_count() == ticks.height
    assert ticks.select(IDENTITY).is_duplicated().any() is False
    assert ticks["event_us"].is_sorted()
    assert ticks["number"].diff().drop_nulls().min() == 2_000
    assert ticks["event_us"][0] == START_US
    assert set(ticks["source"]) == {"SOURCE_1", "SOURCE_2"}
    assert ticks.select("source", "symbol").unique().height == 20


def test_a_record_has_every_field_and_the_key_of_its_series() -> None:
    records = made_up().take(0, 10)
    assert records is not None
    for key, value in zip(records.keys, records.values, strict=True):
        tick = json.loads(value)
        assert key.decode() == f"{tick['source']}:{tick['symbol']}"
        assert list(tick) == [
            "source",
            "symbol",
            "ask",
            "bid",
            "mid",
            "askMarkup",
            "bidMarkup",
            "isTradable",
            "number",
            "dateTime",
            "receiveDateTime",
        ]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", tick["dateTime"])
        assert tick["receiveDateTime"] > tick["dateTime"]


def test_prices_are_short_decimals_around_the_mid() -> None:
    _, instruments = market("7", 2, 10)
    decimals = {kin.symbol: kin.decimals for kin in instruments}
    for value in taken(made_up(), 20_000):
        tick = json.loads(value)
        places = decimals[tick["symbol"]]
        assert tick["ask"] > tick["bid"] > 0
        # In whole points there is no rounding: the text of a price is all there is of it.
        ask, bid = (round(tick[side] * 10**places) for side in ("ask", "bid"))
        assert (ask / 10**places, bid / 10**places) == (tick["ask"], tick["bid"])
        assert tick["mid"] == (ask + bid) / (2 * 10**places)
        assert len(repr(tick["mid"]).partition(".")[2]) <= places + 1


def test_walks_are_as_volatile_as_their_instruments_say() -> None:
    _, instruments = market("7", 1, 3)
    rate_per_s, count = 0.3, 300_000
    ticks = judged(taken(made_up(rate_per_s=rate_per_s, sources=1, symbols=3), count))
    for kin in instruments:
        mid = ticks.filter(symbol=kin.symbol)["mid"]
        moves = mid.log().diff(100).gather_every(100).drop_nulls()
        apart_s = 100 * 3 / rate_per_s
        year = float(moves.std() or 0) * (365 * 86_400 / apart_s) ** 0.5  # type: ignore[arg-type]
        assert year == pytest.approx(kin.volatility, rel=0.2)
        assert abs(log(mid[0] / kin.level)) < 0.01


def test_a_walk_never_leaves_its_walls() -> None:
    # A tick in three years: each step is as large as the price.
    ticks = judged(taken(made_up(rate_per_s=1e-8, sources=1, symbols=3), 2_000), 1 << 62)
    for symbol, level in (("BNBUSD", 627.0), ("EURUSD", 1.0835)):
        bid = ticks.filter(symbol=symbol)["bid"]
        assert bid.min() >= level * 0.499  # type: ignore[operator]
        assert bid.max() <= level * 2.001  # type: ignore[operator]
        # And goes everywhere between them.
        assert bid.max() > 1.8 * level > 0.6 * level > bid.min()  # type: ignore[operator]


def test_numbers_grow_over_restarts() -> None:
    first = judged(taken(made_up(rate_per_s=MOST_PER_S), 100_000))
    again_us = int(first["event_us"].max()) + 1_000  # type: ignore[arg-type]
    second = judged(taken(made_up("another", start_us=again_us), 10))
    assert second["number"].min() > first["number"].max()  # type: ignore[operator]


def test_shares_of_flaws_are_those_asked_for() -> None:
    count = 100_000
    values = taken(made_up(flaws=ALL_FLAWS), count)
    # What the rules make of it, as an engine would see it: in the order of arrival.
    ticks = judged(values, START_US + count * 1_000).with_row_index()
    assert ticks["error"].is_not_null().mean() == pytest.approx(ALL_FLAWS.invalid, rel=0.1)
    valid = ticks.filter(pl.col("error").is_null())
    again = valid.select(IDENTITY).is_duplicated()
    assert again.sum() / 2 / count == pytest.approx(ALL_FLAWS.duplicates, rel=0.1)
    clock = pl.col("event_us").cum_max().over("source", "symbol")
    behind_us = valid.select(clock - pl.col("event_us")).to_series()
    minute_end = pl.col("event_us") // MINUTE_US * MINUTE_US + MINUTE_US
    late = valid.select(clock - minute_end >= 10 * MINUTE_US).to_series()
    assert late.mean() == pytest.approx(ALL_FLAWS.late, rel=0.1)
    # Of those sent after their time, only a tick that another of its series overtook shows it.
    overtaken = (behind_us > 0) & ~late & ~again
    assert overtaken.mean() == pytest.approx(ALL_FLAWS.out_of_order, rel=0.1)
    assert behind_us.filter(~late).max() <= ALL_FLAWS.disorder_us  # type: ignore[operator]


def test_a_duplicate_is_the_same_bytes_and_no_flawed_tick_shares_an_identity() -> None:
    # So little late that they stand among the others.
    flaws = Flaws(late=0.3, duplicates=0.3, late_by_us=100_000)
    values = taken(made_up(flaws=flaws, rate_per_s=100_000), 50_000)
    ticks = judged(values).with_columns(value=pl.Series(values))
    assert ticks.select(IDENTITY).unique().height == ticks["value"].n_unique()
    assert ticks["value"].n_unique() < ticks.height


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_breaking_a_tick_breaks_it(way: str) -> None:
    [value] = taken(made_up(), 1)
    assert judged([value])["error"].to_list() == [None]
    [error] = judged([WAYS[way](value)])["error"]
    assert error is not None


def test_all_ways_are_used() -> None:
    values = taken(made_up(flaws=Flaws(invalid=1)), 5_000)
    errors = judged(values)["error"]
    assert errors.null_count() == 0
    assert errors.n_unique() > 8
    assert len({json.loads(v)["symbol"] for v in values if b'"EUR\\"USD"' in v}) == 1


def test_live_ticks_are_dated_when_they_are_sent() -> None:
    source, values = made_up(speed=None), []
    for now_us in range(START_US, START_US + 10 * SECOND_US, 50_000):
        records = source.take(now_us, 10_000)
        assert records is not None
        event_us = judged(records.values)["event_us"]
        assert event_us.max() <= now_us  # type: ignore[operator]
        assert event_us.min() >= now_us - 50_000  # type: ignore[operator]
        values += records.values
    assert len(values) == pytest.approx(9_950, abs=2)


def test_after_a_stall_live_ticks_are_dated_anew() -> None:
    source = made_up(speed=None, flaws=ALL_FLAWS)
    before = source.take(START_US + SECOND_US, 100_000)
    later_us = START_US + 3_600 * SECOND_US
    after = source.take(later_us, 100_000)
    assert before is not None
    assert after is not None
    # A second is caught up with, not an hour.
    assert len(after.values) == pytest.approx(1_000, rel=0.2)
    values = before.values + after.values
    ticks = judged(values, later_us).with_columns(value=pl.Series(values))
    valid = ticks.filter(pl.col("error").is_null())
    # Ticks sent before and again after it are still the same ticks.
    assert valid.select(IDENTITY).unique().height == valid["value"].n_unique() < valid.height
    on_time = valid.filter(pl.col("event_us") > later_us - 10 * MINUTE_US)
    assert on_time["event_us"].min() >= later_us - 1.1 * SECOND_US  # type: ignore[operator]
    assert on_time.height > 800
    assert valid.filter(pl.col("event_us") < START_US - MINUTE_US).height > 0
    assert on_time["event_us"].max() <= later_us  # type: ignore[operator]


def test_as_many_as_can_be_stays_near_the_wall_clock() -> None:
    source = made_up(rate_per_s=0, speed=None)
    for now_us in range(START_US, START_US + 20 * SECOND_US, SECOND_US):
        records = source.take(now_us, 1_000)
    assert records is not None
    assert len(records.values) == 1_000
    assert judged(records.values)["event_us"].min() >= now_us - 1.1 * SECOND_US  # type: ignore[operator]


def test_instruments_are_of_all_kinds_and_each_once() -> None:
    _, few = market("7", 1, 6)
    assert [kin.kind for kin in few] == ["crypto", "fx", "share"] * 2
    assert few[0].symbol == "BNBUSD"
    _, many = market("7", 1, 5_000)
    assert len({kin.symbol for kin in many}) == 5_000
    assert {kin.symbol for kin in (*CRYPTO, *FX)} <= {kin.symbol for kin in many}
    assert all(re.fullmatch(r"[A-Z]{3,8}(\.[A-Z]{4})?", kin.symbol) for kin in many)
    assert market("7", 1, 30) == market("7", 1, 30) != market("8", 1, 30)


@pytest.mark.parametrize(
    ("flaws", "told"),
    [
        ({"late": -0.1}, "late is -0.1"),
        ({"invalid": 1.5}, "invalid is 1.5"),
        ({"duplicates": float("nan")}, "duplicates is nan"),
        ({"late": 0.6, "invalid": 0.6}, "more than all ticks"),
    ],
)
def test_a_share_that_is_none_is_refused(flaws: dict[str, float], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        Flaws(**flaws)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate_per_s", [-1, MOST_PER_S + 1, float("nan")])
def test_a_rate_that_is_none_is_refused(rate_per_s: float) -> None:
    with pytest.raises(SettingError, match="rate is"):
        made_up(rate_per_s=rate_per_s)
