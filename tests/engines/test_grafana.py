"""Every panel of *Candles*, asked of a real Trino over a real lake as Grafana asks."""

from datetime import timedelta

import polars as pl
import pytest

from homma.core.interval import INTERVALS, Interval
from tests.deploy.dashboards import Asked, asked, dashboard, sent, shown, variables
from tests.engines.conftest import Answer, Answering
from tests.engines.market import DAYS, QUOTED, SOURCES, START

pytestmark = pytest.mark.stack
END = START + timedelta(days=DAYS)
BOARD = dashboard("candles")
LAKE = variables("candles")["lake"]["query"]
SYMBOL = QUOTED[1][0]
#: What Grafana's plugin hands over as a time, as numbers and as text.
TIME = "timestamp(6) with time zone"
CANDLE = {
    "time": TIME,
    **dict.fromkeys(("open", "high", "low", "close"), "double"),
    "volume": "bigint",
}
WHOLE = ("time", "source", "symbol", "open", "high", "low", "close", "volume", "is_final")
#: A panel whose interval is chosen, with each of them; the others with the one they have.
CHOSEN = [one for one in asked("candles") if "${interval}" in one.query]
FIXED = [one for one in asked("candles") if "${interval}" not in one.query]
NEWEST, COMPARED, DIVERGENCE = "Newest, all series", "$symbol by source", "apart"


def chosen(name: str) -> dict[str, str]:
    return {"lake": LAKE, "source": SOURCES[0], "symbol": SYMBOL, "interval": name}


def asked_of(answer: Answering, one: Asked, name: str) -> Answer:
    sql = sent(one.query, chosen(name), shown(BOARD, one.panel, END))
    return answer(sql)


def within(frame: pl.DataFrame, one: Asked) -> pl.DataFrame:
    """The candles of the time that a panel shows."""
    since, until = shown(BOARD, one.panel, END)
    return frame.filter(pl.col("date_time").is_between(since, until)).sort("date_time")


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda one: one.code)
def test_the_candles_of_each_interval(
    answer: Answering, frames: dict[str, pl.DataFrame], interval: Interval
) -> None:
    name = interval.name
    place = INTERVALS.index(interval)
    frame = frames[f"candle_{name}_iceberg"]
    one_series = frame.filter(pl.col("source") == SOURCES[0], pl.col("symbol") == SYMBOL)
    for one in (CHOSEN[0], FIXED[place]):
        kinds, rows = asked_of(answer, one, name)
        assert kinds == CANDLE
        wanted = within(one_series, one).select(
            "date_time", "open", "high", "low", "close", "volume"
        )
        assert rows == wanted.rows()
    assert rows


@pytest.mark.parametrize("name", ["1min", "1hour"])
def test_the_newest_the_sources_and_how_far_they_are_apart(
    answer: Answering, frames: dict[str, pl.DataFrame], name: str
) -> None:
    newest, compared, apart = CHOSEN[1:]
    assert (newest.title, compared.title) == (NEWEST, COMPARED)
    assert DIVERGENCE in apart.title
    frame = frames[f"candle_{name}_iceberg"]

    kinds, rows = asked_of(answer, newest, name)
    assert set(WHOLE) <= set(kinds)
    assert (kinds["time"], kinds["close"], kinds["source"]) == (TIME, "double", "varchar")
    wanted = within(frame, newest).sort(
        "date_time", "source", "symbol", descending=[True, False, False]
    )
    assert [row[:3] for row in rows] == wanted.head(100).select(
        "date_time", "source", "symbol"
    ).rows()

    kinds, rows = asked_of(answer, compared, name)
    assert kinds == {"time": TIME, "source": "varchar", "close": "double"}
    of_symbol = within(frame.filter(pl.col("symbol") == SYMBOL), compared)
    assert (
        rows == of_symbol.sort("date_time", "source").select("date_time", "source", "close").rows()
    )

    kinds, rows = asked_of(answer, apart, name)
    assert kinds == {"time": TIME, "divergence": "double"}
    spread = of_symbol.group_by("date_time").agg(
        pl.len(), apart=1e4 * (pl.col("close").max() - pl.col("close").min()) / pl.mean("close")
    )
    both = dict(spread.filter(pl.col("len") > 1).select("date_time", "apart").rows())
    assert dict(rows) == pytest.approx(both)
    assert len(rows) == len(both) > 0


def test_what_can_be_chosen(answer: Answering, frames: dict[str, pl.DataFrame]) -> None:
    for name, wanted in (("source", SOURCES), ("symbol", [symbol for symbol, *_ in QUOTED])):
        sql = sent(variables("candles")[name]["query"], chosen("1min"), (START, END))
        kinds, rows = answer(sql)
        assert list(kinds.values()) == ["varchar"]
        assert [value for (value,) in rows] == list(wanted)
