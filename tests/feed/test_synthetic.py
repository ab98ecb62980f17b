"""Synthetic ticks: the contract's rules, plausible prices, and the configured flaws."""

import json
import re
from math import log

import polars as pl
import pytest

from homma.errors import SettingError
from homma.feed.instruments import CRYPTO, FX, market
from homma.feed.invalid import CORRUPTIONS
from homma.feed.synthetic import MAX_RATE_PER_S, Flaws
from homma.settings import TickKinds
from tests.feed.market import SECOND_US, START_US, checked, generated, take_values

ALL_FLAWS = Flaws(late=0.02, out_of_order=0.05, duplicates=0.03, invalid=0.04)
IDENTITY = ("source", "symbol", "dateTime", "number")
MINUTE_US = 60 * SECOND_US


# Two batches of 8192 are one generated block, including ticks that are due much later.
@pytest.mark.parametrize(("batch", "flaws"), [(777, ALL_FLAWS), (8_192, Flaws(out_of_order=1))])
def test_the_same_seed_gives_the_same_bytes_in_any_batches(batch: int, flaws: Flaws) -> None:
    whole = take_values(generated(flaws=flaws), 40_000)
    assert take_values(generated(flaws=flaws), 40_000, batch) == whole
    assert take_values(generated("8", flaws=flaws), 40_000) != whole


def test_pacing_does_not_change_the_bytes() -> None:
    paced, values = generated(flaws=ALL_FLAWS, speed=1), []
    for now_us in range(0, 30 * SECOND_US, 50_000):
        records = paced.take(now_us, 10_000)
        assert records is not None
        values += records.values
    assert values == take_values(generated(flaws=ALL_FLAWS), len(values))
    assert len(values) > 29_000


def test_every_tick_is_valid() -> None:
    ticks = checked(take_values(generated(rate_per_s=500), 50_000), START_US + 101 * SECOND_US)
    assert ticks["error"].null_count() == ticks.height
    assert ticks.select(IDENTITY).is_duplicated().any() is False
    assert ticks["event_us"].is_sorted()
    assert ticks["number"].diff().drop_nulls().min() == 2_000
    assert ticks["event_us"][0] == START_US
    assert set(ticks["source"]) == {"SOURCE_1", "SOURCE_2"}
    assert ticks.select("source", "symbol").unique().height == 20


def test_a_record_has_all_fields_and_the_key_of_its_series() -> None:
    records = generated().take(0, 10)
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
    decimals = {instrument.symbol: instrument.decimals for instrument in instruments}
    for value in take_values(generated(), 20_000):
        tick = json.loads(value)
        places = decimals[tick["symbol"]]
        assert tick["ask"] > tick["bid"] > 0
        # Prices are whole points, so their text is exact.
        ask, bid = (round(tick[side] * 10**places) for side in ("ask", "bid"))
        assert (ask / 10**places, bid / 10**places) == (tick["ask"], tick["bid"])
        assert tick["mid"] == (ask + bid) / (2 * 10**places)
        assert len(repr(tick["mid"]).partition(".")[2]) <= places + 1


def test_walks_have_the_volatility_of_their_instruments() -> None:
    _, instruments = market("7", 1, 3)
    rate_per_s, count = 0.3, 300_000
    ticks = checked(take_values(generated(rate_per_s=rate_per_s, sources=1, symbols=3), count))
    for instrument in instruments:
        mid = ticks.filter(symbol=instrument.symbol)["mid"]
        moves = mid.log().diff(100).gather_every(100).drop_nulls()
        gap_s = 100 * 3 / rate_per_s
        year = float(moves.std() or 0) * (365 * 86_400 / gap_s) ** 0.5  # type: ignore[arg-type]
        assert year == pytest.approx(instrument.volatility, rel=0.2)
        assert abs(log(mid[0] / instrument.level)) < 0.01


def test_a_walk_stays_between_its_walls() -> None:
    # One tick in three years: each step is as large as the price.
    ticks = checked(take_values(generated(rate_per_s=1e-8, sources=1, symbols=3), 2_000), 1 << 62)
    for symbol, level in (("BNBUSD", 627.0), ("EURUSD", 1.0835)):
        bid = ticks.filter(symbol=symbol)["bid"]
        assert bid.min() >= level * 0.499  # type: ignore[operator]
        assert bid.max() <= level * 2.001  # type: ignore[operator]
        # The walk covers the whole range.
        assert bid.max() > 1.8 * level > 0.6 * level > bid.min()  # type: ignore[operator]


def test_numbers_grow_across_restarts() -> None:
    first = checked(take_values(generated(rate_per_s=MAX_RATE_PER_S), 100_000))
    restart_us = int(first["event_us"].max()) + 1_000  # type: ignore[arg-type]
    second = checked(take_values(generated("another", start_us=restart_us), 10))
    assert second["number"].min() > first["number"].max()  # type: ignore[operator]


def test_the_shares_of_flaws_are_as_configured() -> None:
    count = 100_000
    values = take_values(generated(flaws=ALL_FLAWS), count)
    # Checked like an engine would check them, in the order of arrival.
    ticks = checked(values, START_US + count * 1_000).with_row_index()
    assert ticks["error"].is_not_null().mean() == pytest.approx(ALL_FLAWS.invalid, rel=0.1)
    valid = ticks.filter(pl.col("error").is_null())
    is_duplicate = valid.select(IDENTITY).is_duplicated()
    assert is_duplicate.sum() / 2 / count == pytest.approx(ALL_FLAWS.duplicates, rel=0.1)
    clock = pl.col("event_us").cum_max().over("source", "symbol")
    behind_us = valid.select(clock - pl.col("event_us")).to_series()
    minute_end = pl.col("event_us") // MINUTE_US * MINUTE_US + MINUTE_US
    is_late = valid.select(clock - minute_end >= 10 * MINUTE_US).to_series()
    assert is_late.mean() == pytest.approx(ALL_FLAWS.late, rel=0.1)
    # An out-of-order tick is visible only if another tick of its series overtook it.
    is_overtaken = (behind_us > 0) & ~is_late & ~is_duplicate
    assert is_overtaken.mean() == pytest.approx(ALL_FLAWS.out_of_order, rel=0.1)
    assert behind_us.filter(~is_late).max() <= ALL_FLAWS.disorder_us  # type: ignore[operator]


def test_only_duplicates_share_an_identity_and_their_bytes_are_equal() -> None:
    # Late ticks are close to the others.
    flaws = Flaws(late=0.3, duplicates=0.3, late_by_us=100_000)
    values = take_values(generated(flaws=flaws, rate_per_s=100_000), 50_000)
    ticks = checked(values).with_columns(value=pl.Series(values))
    assert ticks.select(IDENTITY).unique().height == ticks["value"].n_unique()
    assert ticks["value"].n_unique() < ticks.height


@pytest.mark.parametrize("kinds", ["quotes", "trades"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_makes_a_tick_invalid(name: str, kinds: TickKinds) -> None:
    [value] = take_values(generated(kinds=kinds), 1)
    assert checked([value])["error"].to_list() == [None]
    [error] = checked([CORRUPTIONS[name](value)])["error"]
    assert error is not None


@pytest.mark.parametrize("kinds", ["trades", "both"])
def test_trades_take_place_at_the_quotes_with_plausible_sizes(kinds: TickKinds) -> None:
    values = take_values(generated(kinds=kinds), 30_000)
    ticks = checked(values)
    assert ticks["error"].null_count() == ticks.height
    trades = ticks.filter(pl.col("price").is_not_null())
    quotes = ticks.filter(pl.col("mid").is_not_null())
    assert trades.height + quotes.height == ticks.height
    assert quotes.height == (0 if kinds == "trades" else pytest.approx(21_000, rel=0.05))
    assert trades.filter(pl.col("side") == "buy").height / trades.height == pytest.approx(
        0.5, abs=0.02
    )
    assert trades["size"].min() > 0  # type: ignore[operator]
    assert trades.group_by("symbol").agg(pl.col("size").n_unique())["size"].min() > 50  # type: ignore[operator]
    # The quotes are the same, whatever else is sent.
    prices = (
        checked(take_values(generated(), 30_000))
        .group_by("symbol")
        .agg(low=pl.col("bid").min(), high=pl.col("ask").max())
    )
    traded = trades.join(prices, on="symbol")
    is_inside = pl.col("price").is_between(pl.col("low") * 0.99, pl.col("high") * 1.01)
    assert traded.height == trades.height
    assert traded.select(is_inside.all()).item()


def test_all_corruptions_are_used() -> None:
    values = take_values(generated(flaws=Flaws(invalid=1)), 5_000)
    errors = checked(values)["error"]
    assert errors.null_count() == 0
    assert errors.n_unique() > 8
    assert len({json.loads(v)["symbol"] for v in values if b'"EUR\\"USD"' in v}) == 1


def test_live_ticks_have_the_date_of_sending() -> None:
    source, values = generated(speed=None), []
    for now_us in range(START_US, START_US + 10 * SECOND_US, 50_000):
        records = source.take(now_us, 10_000)
        assert records is not None
        event_us = checked(records.values)["event_us"]
        assert event_us.max() <= now_us  # type: ignore[operator]
        assert event_us.min() >= now_us - 50_000  # type: ignore[operator]
        values += records.values
    assert len(values) == pytest.approx(9_950, abs=2)


def test_after_a_stall_live_ticks_have_new_dates() -> None:
    source = generated(speed=None, flaws=ALL_FLAWS)
    before = source.take(START_US + SECOND_US, 100_000)
    later_us = START_US + 3_600 * SECOND_US
    after = source.take(later_us, 100_000)
    assert before is not None
    assert after is not None
    # A second is caught up, not an hour.
    assert len(after.values) == pytest.approx(1_000, rel=0.2)
    values = before.values + after.values
    ticks = checked(values, later_us).with_columns(value=pl.Series(values))
    valid = ticks.filter(pl.col("error").is_null())
    # Duplicates sent before and after the stall are still equal.
    assert valid.select(IDENTITY).unique().height == valid["value"].n_unique() < valid.height
    on_time = valid.filter(pl.col("event_us") > later_us - 10 * MINUTE_US)
    assert on_time["event_us"].min() >= later_us - 1.1 * SECOND_US  # type: ignore[operator]
    assert on_time.height > 800
    assert valid.filter(pl.col("event_us") < START_US - MINUTE_US).height > 0
    assert on_time["event_us"].max() <= later_us  # type: ignore[operator]


def test_the_highest_rate_stays_near_the_wall_clock() -> None:
    source = generated(rate_per_s=0, speed=None)
    for now_us in range(START_US, START_US + 20 * SECOND_US, SECOND_US):
        records = source.take(now_us, 1_000)
    assert records is not None
    assert len(records.values) == 1_000
    assert checked(records.values)["event_us"].min() >= now_us - 1.1 * SECOND_US  # type: ignore[operator]


def test_instruments_are_unique_and_of_all_kinds() -> None:
    _, few = market("7", 1, 6)
    assert [instrument.kind for instrument in few] == ["crypto", "fx", "share"] * 2
    assert few[0].symbol == "BNBUSD"
    _, many = market("7", 1, 5_000)
    assert len({instrument.symbol for instrument in many}) == 5_000
    assert {instrument.symbol for instrument in (*CRYPTO, *FX)} <= {
        instrument.symbol for instrument in many
    }
    assert all(re.fullmatch(r"[A-Z]{3,8}(\.[A-Z]{4})?", instrument.symbol) for instrument in many)
    assert market("7", 1, 30) == market("7", 1, 30) != market("8", 1, 30)


@pytest.mark.parametrize(
    ("flaws", "message"),
    [
        ({"late": -0.1}, "late is -0.1"),
        ({"invalid": 1.5}, "invalid is 1.5"),
        ({"duplicates": float("nan")}, "duplicates is nan"),
        ({"late": 0.6, "invalid": 0.6}, "which is more than 1"),
    ],
)
def test_invalid_shares_are_rejected(flaws: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Flaws(**flaws)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate_per_s", [-1, MAX_RATE_PER_S + 1, float("nan")])
def test_invalid_rates_are_rejected(rate_per_s: float) -> None:
    with pytest.raises(SettingError, match="rate is"):
        generated(rate_per_s=rate_per_s)
