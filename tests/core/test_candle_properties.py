"""`merge` gives the same result however candles are grouped."""

from datetime import datetime, timedelta
from random import Random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homma.core import candle
from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.candle import CANDLE, KEY
from tests.core.calendars import calendars
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import measures_of, us, values_of
from tests.support.oracle import Tick
from tests.support.tick_logs import SIZES

NOON = datetime(2024, 2, 29, 23, 59)
MOMENTS = st.sampled_from(
    [
        timedelta(),
        timedelta(microseconds=1),
        timedelta(seconds=14),
        timedelta(seconds=30),
        timedelta(seconds=60),
    ]
)
MEASURES = ("price", "traded_volume", "turnover")
TRADED_PRICES = st.floats(-1e6, 1e6)
PRICES = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@st.composite
def distinct_ticks(draw: st.DrawFn) -> list[Tick]:
    keys = st.tuples(MOMENTS, st.sampled_from([0, 1, 2**62, 2**63 - 1]), st.sampled_from("AB"))
    is_trade = draw(st.booleans())
    return [
        {
            "source": "S",
            "symbol": symbol,
            **(
                {"price": draw(TRADED_PRICES), "size": draw(SIZES)}
                if is_trade
                else {"mid": draw(PRICES)}
            ),
            "number": number,
            "dateTime": (NOON + moment).isoformat(timespec="microseconds"),
        }
        for moment, number, symbol in draw(st.lists(keys, unique=True, min_size=1, max_size=12))
    ]


def frame(ticks: list[Tick]) -> pl.DataFrame:
    rows = {
        "series": ["AB".index(tick["symbol"]) for tick in ticks],
        "event_us": [us(oracle.at_of(tick)) for tick in ticks],
        "number": [tick["number"] for tick in ticks],
        **dict(zip(MEASURES, zip(*map(measures_of, ticks), strict=True), strict=True)),
    }
    measures = {name: candle.KEYED_TICK[name] for name in MEASURES}
    types = {"series": pl.UInt32(), "event_us": pl.Int64(), "number": pl.Int64(), **measures}
    return pl.DataFrame(rows, schema=types).with_columns(
        order_key=candle.order_key(pl.col("event_us"), pl.col("number"))
    )


def rows(candles: pl.DataFrame) -> list[tuple[object, ...]]:
    assert candles.schema == CANDLE
    assert candles.select(KEY).is_unique().all()
    return candles.sort(KEY).rows()


def rolled_up(ticks: list[Tick], calendar: Calendar = DEFAULT_CALENDAR) -> pl.DataFrame:
    base = candle.base_candles(frame(ticks), calendar.base)
    return candle.roll_up(base, calendar.intervals)


def expected(ticks: list[Tick], calendar: Calendar = DEFAULT_CALENDAR) -> list[tuple[object, ...]]:
    result: list[tuple[object, ...]] = []
    names = [oracle.NAME_OF[code] for code in calendar.codes]
    price = "mid" if "mid" in ticks[0] else "trade"
    candles = oracle.candles(ticks, price, names)
    for (interval, _, symbol, start), values in candles.items():
        order_keys = [
            us(datetime.fromisoformat(values[f"{end}DateTime"])) * 2**63 + values[f"{end}Number"]
            for end in ("open", "close")
        ]
        result.append(
            (
                "AB".index(symbol),
                calendar.codes[names.index(interval)],
                us(start),
                us(oracle.end_of(interval, start)),
                *values_of(values),
                *order_keys,
            )
        )
    return sorted(result, key=lambda row: (row[0], calendar.codes.index(str(row[1])), row[2]))


@effort(2)
@given(distinct_ticks())
def test_a_roll_up_equals_the_oracle(ticks: list[Tick]) -> None:
    assert rows(rolled_up(ticks)) == expected(ticks)


@effort(4)
@given(distinct_ticks(), calendars())
def test_a_roll_up_from_the_base_of_any_calendar_equals_the_oracle(
    ticks: list[Tick], calendar: Calendar
) -> None:
    assert rows(rolled_up(ticks, calendar)) == expected(ticks, calendar)


@effort(2)
@given(distinct_ticks(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_merging_in_any_order_and_grouping_gives_the_same_candles(
    ticks: list[Tick], random: Random, groups: int
) -> None:
    """`merge` is commutative and associative."""
    singles = [rolled_up([tick]) for tick in ticks]
    random.shuffle(singles)
    parts = [singles[i::groups] for i in range(groups)]
    merged = [candle.merge(pl.concat(part)) for part in parts if part]
    random.shuffle(merged)
    whole = merged[0]
    for part in merged[1:]:
        whole = candle.merge(pl.concat([part, whole]))
    assert rows(whole) == rows(candle.merge(pl.concat(merged))) == expected(ticks)


@effort()
@given(distinct_ticks())
def test_merging_merged_candles_changes_nothing(ticks: list[Tick]) -> None:
    once = rolled_up(ticks)
    assert rows(candle.merge(once)) == rows(once)
    assert rows(candle.merge(once.clear())) == []


@effort()
@given(st.lists(st.tuples(st.integers(0, 4 * 10**15), st.integers(0, 2**63 - 1))))
def test_order_keys_sort_like_their_parts_and_can_be_split(parts: list[tuple[int, int]]) -> None:
    both = pl.DataFrame(parts, schema={"us": pl.Int64, "number": pl.Int64}, orient="row")
    keyed = both.with_columns(order_key=candle.order_key(pl.col("us"), pl.col("number")))
    assert keyed.sort("order_key").select("us", "number").rows() == sorted(parts)
    split = keyed.select(
        candle.order_key_us(pl.col("order_key")),
        number=candle.order_key_number(pl.col("order_key")),
    )
    assert split.rows() == parts
