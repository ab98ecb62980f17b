"""Logs of ticks that collide, for property tests of every engine."""

from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from homma.core.tick import Price
from tests.support.oracle import Tick

SECOND = timedelta(seconds=1)
WATERMARK_DELAY = timedelta(seconds=2)
IDLE_TIMEOUT = timedelta(seconds=5)
Log = list[tuple[Tick, datetime]]
ANCHORS = st.sampled_from(
    [
        datetime(2024, 1, 1),  # a Monday, start of a month and a year
        datetime(2024, 3, 1),  # the day before was a leap day
        datetime(2025, 3, 20, 12),  # start of every interval of minutes and hours
        datetime(2025, 3, 24),  # a Monday
        datetime(2025, 3, 20, 14, 31),  # start of a minute only
        datetime(1970, 1, 5),
        datetime(1970, 1, 1, 0, 4),
    ]
)
NAMES = st.sampled_from([("S", "A")] * 4 + [("S", "B"), ("T", "A")])
MOMENTS = st.sampled_from(
    [
        timedelta(),
        timedelta(microseconds=1),
        timedelta(seconds=2),
        timedelta(seconds=30),
        timedelta(seconds=59, milliseconds=999),
        timedelta(seconds=59, microseconds=999_999),
    ]
)
GAPS = st.sampled_from(
    [
        timedelta(),
        timedelta(milliseconds=1),
        SECOND,
        WATERMARK_DELAY,
        IDLE_TIMEOUT,
        timedelta(minutes=1),
        timedelta(minutes=3, microseconds=7),
    ]
)


#: Sizes of all magnitudes and of all numbers of digits, and none.
SIZES = st.none() | st.builds(
    lambda units: Decimal(f"{units}e-12"), st.integers(0, 10**30 - 1) | st.integers(0, 10**15)
)


def any_logs() -> st.SearchStrategy[Log]:
    """Logs of quotes, and logs of trades."""
    return logs() | logs(trades=True)


@st.composite
def logs(draw: st.DrawFn, *, trades: bool = False) -> Log:
    """Ticks of a few series around one boundary, with increasing Kafka timestamps."""
    anchor = draw(ANCHORS)
    log: Log = []
    clock = anchor
    fields = st.tuples(
        NAMES, st.integers(-3, 3), MOMENTS, st.integers(0, 2), st.sampled_from([1.5, 2.5, 3.5])
    )
    drawn = draw(st.lists(fields, min_size=4, max_size=24))
    for (source, symbol), minute, moment, number, price in drawn:
        clock += draw(GAPS)
        at = anchor + timedelta(minutes=minute) + moment
        traded = {"price": price / 10, "size": draw(SIZES)} if trades else {}
        log.append((tick(source, symbol, at, number, price) | traded, clock))
    return log


def price_of(log: Log) -> Price:
    """The price that candles of a log are made of."""
    return "trade" if log and "price" in log[0][0] else "mid"


def tick(source: str, symbol: str, at: datetime, number: int, price: float = 1.0) -> Tick:
    return {
        "source": source,
        "symbol": symbol,
        "ask": price + 1,
        "bid": price / 2,
        "mid": price,
        "number": number,
        "dateTime": at.isoformat(timespec="microseconds"),
    }
