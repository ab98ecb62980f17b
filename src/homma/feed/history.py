"""Synthetic ticks of the past, which lead up to the first live ticks. Pure.

A year of ticks at a live rate would be too many. Instead, there are **bursts**: minutes with some
ticks. Each interval of `TIERS` has a burst in each of its newest candles, unless finer intervals
have bursts there already. So all intervals have their newest candles, and ticks get sparser with
their age. In the ticks of a burst, the price walks as far as it would in the whole candle, so that
a chart of that interval looks as if it had all ticks.

The price walks backwards from the price of the first live tick, so there is no jump between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

import polars as pl

from homma.core.interval import BY_CODE, MINUTE, MINUTE_US, Interval
from homma.feed.instruments import Instrument
from homma.feed.market_hours import HALF_HOUR_US, MARKETS, MarketHours
from homma.feed.quotes import PRICED_QUOTE, QUOTE_PRICES, Walks
from homma.feed.trades import TRADE
from homma.settings import TickKinds

BURST: Final = pl.Schema({"at_us": pl.Int64(), "ticks": pl.Float64(), "walk_min": pl.Float64()})
#: Minutes with ticks: the start, the mean number of ticks, and for how long the price walks.
Bursts: TypeAlias = pl.DataFrame

HISTORY_TICK: Final = pl.Schema(
    {**PRICED_QUOTE, **TRADE, "number": pl.Int64(), "dateTime": pl.Datetime("us")}
)
#: Ticks of the past, oldest first, as rows of a file that `homma backfill` reads. Each of them is a
#: quote and a trade if the generator sends both; otherwise the fields of the other one are null.
HistoryTicks: TypeAlias = pl.DataFrame


@dataclass(frozen=True, slots=True)
class Tier:
    """How many of the newest candles of an interval have ticks, and how many ticks on average."""

    interval: Interval
    candles: int
    ticks: float


#: A chart shows about 150 candles. Minutes come first, then the next coarser interval.
NEWEST_MINUTES: Final = Tier(MINUTE, 160, 8)
TIERS: Final = tuple(
    Tier(BY_CODE[code], candles, ticks)
    for code, candles, ticks in (
        ("m5", 152, 5),
        ("m10", 152, 5),
        ("m15", 152, 5),
        ("m30", 152, 5),
        ("h1", 152, 5),
        ("h3", 152, 5),
        ("h4", 152, 5),
        ("D1", 152, 5),
        ("W1", 60, 5),
    )
)
#: The activity of the newest minutes while the market is closed: live ticks never pause.
_QUIET: Final = 0.4
#: The fewest ticks of a burst: enough for open, high, low and close.
_MIN_TICKS: Final = 4
#: By how much the number of ticks varies from burst to burst.
_VARIATION: Final = 0.6


def bursts(hours: MarketHours, start_us: int, end_us: int) -> Bursts:
    """The minutes between two instants in which the instruments of a market have ticks."""
    newest_us = max(start_us, end_us - NEWEST_MINUTES.candles * MINUTE_US)
    newest = _cells(hours, newest_us, end_us, MINUTE_US).select(
        "at_us",
        ticks=pl.max_horizontal("activity", _QUIET) * NEWEST_MINUTES.ticks,
        walk_min=pl.lit(1.0),
    )
    result = newest.cast(BURST)
    for tier in TIERS:
        # The activity is the same for half an hour.
        length_us = min(tier.interval.longest_us, HALF_HOUR_US)
        cells = _cells(hours, start_us, end_us, length_us)
        trading = cells.filter(pl.col("activity") > 0)
        # A year of trading has fewer minutes than a year.
        minutes = length_us / MINUTE_US * cells.height / max(1, trading.height)
        missing = _of_tier(tier, trading, minutes, result["at_us"])
        result = pl.concat([result, missing])
    return result


def _cells(hours: MarketHours, start_us: int, end_us: int, length_us: int) -> pl.DataFrame:
    """The activity in each cell of a grid of time."""
    at_us = pl.int_range(start_us // length_us * length_us, end_us, length_us)
    return pl.select(at_us=at_us).with_columns(activity=hours.activity(pl.col("at_us")))


def _of_tier(tier: Tier, trading: pl.DataFrame, minutes: float, covered: pl.Series) -> Bursts:
    """The bursts of a tier, one in each of its newest candles in which no minute is `covered`.

    Each cell of `trading` counts as so many `minutes`.
    """
    start = tier.interval.floor(pl.col("at_us"))
    return (
        trading.group_by(start=start, maintain_order=True)
        .agg(
            # When the market is busiest.
            at_us=pl.col("at_us").sort_by("activity", "at_us").last(),
            ticks=pl.col("activity").mean() * tier.ticks,
            walk_min=pl.len() * minutes,
        )
        .tail(tier.candles)
        .join(covered.to_frame().select(start=start), on="start", how="anti")
        .select(BURST.names())
        .cast(BURST)
    )


def leading_to(
    end_us: int,
    length_us: int,
    sources: Sequence[str],
    instruments: Sequence[Instrument],
    rng: Random,
    kinds: TickKinds = "quotes",
) -> HistoryTicks:
    """The ticks of some time up to `end_us`, when the generator starts with these instruments."""
    walks = Walks(sources, instruments, 60.0, rng)
    plans = {kind: bursts(hours, end_us - length_us, end_us) for kind, hours in MARKETS.items()}
    # As in Walks: the instruments of the first source, then those of the next one.
    markets = [item.kind for _ in sources for item in instruments]
    planned = pl.concat(
        plans[kind].with_columns(series=pl.lit(index, pl.UInt32))
        for index, kind in enumerate(markets)
    )
    ticks = _ticks(planned, end_us, walks)
    quotes = walks.lead_up(ticks["series"], ticks["walk_min"])
    prices = walks.prices(quotes)
    if kinds == "quotes":
        fields = prices.with_columns(_nothing(TRADE))
    else:
        draws = pl.DataFrame({name: walks.uniform(ticks.height) for name in ("side", "size")})
        fields = prices.hstack(walks.trades(quotes, draws))
    if kinds == "trades":
        fields = fields.with_columns(_nothing(QUOTE_PRICES))
    return fields.with_columns(
        number=ticks["event_us"], dateTime=ticks["event_us"].cast(pl.Datetime("us"))
    )


def _nothing(schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """Columns of nulls."""
    return [pl.lit(None, dtype).alias(name) for name, dtype in schema.items()]


def _ticks(planned: pl.DataFrame, end_us: int, walks: Walks) -> pl.DataFrame:
    """Event times and series of the ticks of bursts, each with its share of the walk."""
    varied = 1 + _VARIATION * (pl.lit(walks.uniform(planned.height)) - 0.5)
    count = (pl.col("ticks") * varied).round().cast(pl.Int64).clip(_MIN_TICKS)
    ticks = (
        planned.with_columns(count=count)
        .with_columns(pl.col("walk_min") / pl.col("count"), index=pl.int_ranges("count"))
        .explode("index")
    )
    place = (pl.col("index") + pl.lit(walks.uniform(ticks.height))) / pl.col("count")
    event_us = pl.col("at_us") + (place * MINUTE_US).cast(pl.Int64)
    # Even, as the numbers of live ticks: see synthetic.py.
    even = ticks.with_columns(event_us=event_us // 2 * 2).filter(pl.col("event_us") < end_us)
    return even.sort("event_us", "series")
