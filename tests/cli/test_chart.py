"""The chart of `homma tail`, cell by cell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from rich.cells import cell_len

from homma.cli.terminal import chart
from homma.core.interval import BY_CODE
from homma.topics.candle import PUBLIC_VALUES, Candle

START = datetime(2025, 3, 20, 13, 58, tzinfo=UTC)
LABEL = len("8") + 2


def candle(
    prices: tuple[float, float, float, float],
    at: int = 0,
    volume: int = 1,
    final: bool | None = True,
    step: timedelta = timedelta(minutes=1),
) -> Candle:
    """A candle of (open, high, low, close), `at` steps after START."""
    o, h, l, c = prices  # noqa: E741
    values = {
        "open": o,
        "high": h,
        "low": l,
        "close": c,
        "volume": volume,
        "tick_count": volume,
        "is_final": final,
        "revision": 1,
    }
    of_fields = tuple(values.get(field.column) for field in PUBLIC_VALUES)
    return Candle(("S", "A"), START + at * step, of_fields, b"")


def column(picture: str, x: int, rows: int) -> str:
    """A column of a chart, from the top."""
    return "".join(line[x] for line in picture.split("\n")[:rows])


def test_body_and_wicks_are_drawn_at_their_prices() -> None:
    # Eight half cells for prices 8 to 1, one for each price.
    candles = [candle((3, 8, 1, 6)), candle((6, 8, 1, 3), 1)]
    picture = chart.draw(candles, BY_CODE["m1"], 20, 5).plain
    x = 20 - LABEL - 1
    assert column(picture, x, 4) == "│┃┃│"
    assert column(picture, x - 4, 4) == "│┃┃│"
    assert column(picture, x - 1, 4) == "    "


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ((7, 8, 1, 2), "╽┃┃╿"),
        ((8, 8, 1, 1), "┃┃┃┃"),
        ((1, 1, 1, 1), "   ╻"),
        ((8, 8, 8, 8), "╹   "),
        ((2, 7, 1, 2), "╷││╿"),
    ],
)
def test_half_cells(prices: tuple[float, float, float, float], expected: str) -> None:
    scale = candle((1, 8, 1, 8))
    picture = chart.draw([candle(prices), scale], BY_CODE["m1"], 20, 5).plain
    assert column(picture, 20 - LABEL - 1 - 4, 4) == expected


def test_open_candles_are_hollow() -> None:
    shapes = {}
    for final in (True, False, None):
        picture = chart.draw([candle((3, 8, 1, 6), final=final)], BY_CODE["m1"], 20, 5).plain
        shapes[final] = column(picture, 20 - LABEL - 1, 4)
    assert shapes == {True: "│┃┃│", False: "│║║│", None: "│║║│"}


def test_a_flat_open_candle_is_hollow() -> None:
    picture = chart.draw([candle((5, 5, 5, 5), final=False)], BY_CODE["m1"], 20, 5).plain
    assert column(picture, 20 - LABEL - 1, 4).count(chart.HOLLOW) == 1


def test_a_candle_of_another_engine_is_open_only_if_it_is_the_newest() -> None:
    candles = [candle((3, 8, 1, 6), n, final=None) for n in range(2)]
    picture = chart.draw(candles, BY_CODE["m1"], 20, 5).plain
    assert column(picture, 20 - LABEL - 1 - 4, 4) == "│┃┃│"
    assert column(picture, 20 - LABEL - 1, 4) == "│║║│"


def test_colours() -> None:
    for prices, colour in (((3, 8, 1, 6), "green"), ((6, 8, 1, 3), "red"), ((3, 8, 1, 3), "green")):
        text = chart.draw([candle(prices)], BY_CODE["m1"], 20, 5)
        position = 20 - LABEL - 1  # in the first line, which has the upper wick
        styles = {str(s.style) for s in text.spans if s.start <= position < s.end}
        assert styles == {colour}


@pytest.mark.parametrize("width", [1, 5, 12, 20, 60, 81, 200])
@pytest.mark.parametrize("height", [1, 3, 9, 10, 24, 60])
@pytest.mark.parametrize("count", [0, 1, 2, 45, 300])
def test_the_chart_fits_any_terminal(width: int, height: int, count: int) -> None:
    candles = [candle((10.5, 11, 9.25, 10), n, n) for n in range(1, count + 1)]
    lines = chart.draw(candles, BY_CODE["m5"], width, height).plain.split("\n")
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


def test_the_oldest_candles_are_omitted_if_they_do_not_fit() -> None:
    candles = [candle((1, 1, 1, 1), n) for n in range(50)]
    candles += [candle((8, 8, 8, 8), 50 + n) for n in range(15)]
    picture = chart.draw(candles, BY_CODE["m1"], 15 + LABEL, 5).plain
    # Only prices of 8 remain, in the middle of their own scale.
    assert "┤1" not in picture
    assert sum(row.count("╻") + row.count("╹") for row in picture.split("\n")) == 15


def test_volume_bars() -> None:
    candles = [candle((3, 8, 1, 6), 0, volume=40), candle((3, 8, 1, 6), 1, volume=5)]
    lines = chart.draw(candles, BY_CODE["m1"], 20, 25).plain.split("\n")
    x, bars = 20 - LABEL - 1, lines[-6:-1]
    assert "".join(line[x - 4] for line in bars) == "█████"
    assert "".join(line[x] for line in bars) == "    ▅"
    assert bars[0].rstrip().endswith("┤40")


def test_the_newest_close_is_on_the_price_axis() -> None:
    candles = [candle((100, 120, 90, 117.25))]
    text = chart.draw(candles, BY_CODE["m1"], 40, 20)
    [line] = [row for row in text.plain.split("\n") if "117.25" in row]
    assert "┤117.25" in line
    position = text.plain.index("117.25")
    assert any("reverse" in str(s.style) for s in text.spans if s.start <= position < s.end)


def test_price_labels_are_round_and_descending() -> None:
    candles = [candle((102.13, 151.7, 98.4, 120.01), n) for n in range(5)]
    lines = chart.draw(candles, BY_CODE["m1"], 60, 30).plain.split("\n")
    labels = [float(row.split("┤")[1]) for row in lines[:-6] if "┤" in row and "120.01" not in row]
    assert len(labels) > 3
    assert labels == sorted(labels, reverse=True)
    assert all(label % 5 == 0 for label in labels)


def test_the_time_axis_of_minutes_names_the_day_once() -> None:
    candles = [candle((1, 2, 1, 2), n) for n in range(60)]
    axis = chart.draw(candles, BY_CODE["m1"], 140, 20).plain.split("\n")[-1]
    times = [f"14:{minute}" for minute in range(10, 60, 5)]
    assert axis.split() == ["20", "Mar", "14:00", *times]


def test_a_time_label_starts_below_its_candle() -> None:
    candles = [candle((1, 2, 1, 2), n) for n in range(10)]
    axis = chart.draw(candles, BY_CODE["m1"], 80, 20).plain.split("\n")[-1]
    chart_width = 80 - LABEL
    assert axis.index("20 Mar 13:58") == chart_width - 1 - 9 * 4


def test_the_time_axis_names_each_new_day() -> None:
    candles = [candle((1, 2, 1, 2), n, step=timedelta(hours=1)) for n in range(40)]
    axis = chart.draw(candles, BY_CODE["h1"], 90, 20).plain.split("\n")[-1]
    assert "21 Mar" in axis


@pytest.mark.parametrize(
    ("code", "step", "expected"),
    [
        ("D1", timedelta(days=1), "20 Mar 2025"),
        ("W1", timedelta(days=7), "20 Mar 2025"),
        ("M1", timedelta(days=31), "Mar 2025"),
    ],
)
def test_the_time_axis_of_longer_intervals(code: str, step: timedelta, expected: str) -> None:
    candles = [candle((1, 2, 1, 2), n, step=step) for n in range(15)]
    axis = chart.draw(candles, BY_CODE[code], 80, 20).plain.split("\n")[-1].strip()
    assert axis.startswith(expected)
    assert ":" not in axis


def test_the_time_axis_of_seconds() -> None:
    candles = [candle((1, 2, 1, 2), n, step=timedelta(seconds=1)) for n in range(60)]
    axis = chart.draw(candles, BY_CODE["s1"], 140, 20).plain.split("\n")[-1]
    assert axis.split() == ["20", "Mar", *(f"13:58:{s:02}" for s in range(0, 60, 10))]


@pytest.mark.parametrize("code", [code for code in BY_CODE if code[0] in "smh"])
def test_the_time_axis_of_every_interval_has_round_times(code: str) -> None:
    length = timedelta(microseconds=BY_CODE[code].longest_us)
    midnight = datetime(2025, 3, 20, tzinfo=UTC)
    candles = [replace(candle((1, 2, 1, 2)), start=midnight + n * length) for n in range(200)]
    axis = chart.draw(candles, BY_CODE[code], 160, 20).plain.split("\n")[-1]
    times = [word for word in axis.split() if ":" in word]
    assert len(times) > 1
    assert {time.count(":") for time in times} == {2 if code.startswith("s") else 1}


def test_labels_of_the_time_axis_do_not_touch() -> None:
    for count in range(1, 60):
        candles = [candle((1, 2, 1, 2), n) for n in range(count)]
        axis = chart.draw(candles, BY_CODE["m1"], 70, 20).plain.split("\n")[-1]
        words = axis.split("  ")
        assert all(":" in word for word in words if word.strip()), axis


def test_decimals_are_enough_for_the_prices() -> None:
    def of(*prices: float) -> int:
        return chart.decimals([candle((p, p, p, p)) for p in prices])

    assert of(627.045, 627.0) == 3
    assert of(100.0) == 0
    assert of(1e-7) == 7
    assert of(1e-12) == 8
    assert of(1e22) == 0


def test_counts_are_abbreviated() -> None:
    assert [chart.short(n) for n in (7, 999, 1000, 12_345, 2_500_000, 10**9)] == [
        "7",
        "999",
        "1k",
        "12.3k",
        "2.5M",
        "1G",
    ]


def test_candles_that_fit_are_at_least_two_columns_apart() -> None:
    for width in range(20, 200):
        count = chart.fitting(width)
        candles = [candle((3, 8, 1, 6), n) for n in range(count)]
        row = chart.draw(candles, BY_CODE["m1"], width, 5).plain.split("\n")[1]
        columns = [x for x, cell in enumerate(row) if cell == "┃"]
        assert len(columns) == count
        assert all(b - a >= 2 for a, b in pairwise(columns))
