"""Draw candles as text of a given width and height. Pure.

A terminal cell has an upper and a lower half, each of them empty, wick or body; GLYPHS has the
character for each combination. The body of an open candle is hollow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from rich.text import Text

from homma.core.decimals import plain_text
from homma.core.interval import DAY_US, MINUTE_US, SECOND_US, Interval
from homma.topics.candle import Candle

EMPTY, WICK, BODY = range(3)
#: (upper half, lower half) of a cell.
GLYPHS: Final = {
    (EMPTY, EMPTY): " ",
    (WICK, WICK): "│",
    (BODY, BODY): "┃",
    (EMPTY, WICK): "╷",
    (WICK, EMPTY): "╵",
    (EMPTY, BODY): "╻",
    (BODY, EMPTY): "╹",
    (WICK, BODY): "╽",
    (BODY, WICK): "╿",
}
HOLLOW: Final = "║"
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
UP, DOWN = "green", "red"
#: Columns from one candle to the next: normally, and if there is plenty of room.
_STEP: Final = 2
_WIDEST: Final = 4
#: Charts with fewer rows than this have no volume bars.
_MIN_ROWS_WITH_VOLUME: Final = 10
_MAX_VOLUME_ROWS: Final = 5
_LABEL_GAP: Final = 2
_ROWS_PER_LABEL: Final = 3
#: Round numbers of seconds between labels of the time axis.
_ROUND_S: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440)),
)
#: Columns from one label to the next: a time, without and with seconds, and a gap.
_LABEL_COLUMNS: Final = 8
_SECONDS_LABEL_COLUMNS: Final = 11


@dataclass(frozen=True, slots=True)
class _Plot:
    """The candles drawn, and the geometry of the price chart."""

    candles: Sequence[Candle]
    step: int
    width: int
    rows: int
    low: float
    high: float

    def column(self, index: int) -> int:
        """Return the column of a candle. The newest is at the right edge."""
        return self.width - 1 - (len(self.candles) - 1 - index) * self.step

    def half(self, price: float) -> int:
        """Return the half cell of a price, counted from the top."""
        share = (self.high - price) / (self.high - self.low)
        return min(2 * self.rows - 1, max(0, round(share * (2 * self.rows - 1))))


def fitting(width: int, label: int = 12) -> int:
    """Return how many candles fit in a width, next to price labels of `label` characters."""
    return max(1, (width - label) // _STEP)


def is_open(candle: Candle, *, newest: bool) -> bool:
    """Whether a candle is still open.

    Other engines do not report this: their newest candle of a series counts as open.
    """
    return newest if candle.is_final is None else not candle.is_final


def colour(candle: Candle) -> str:
    """Return green for a rising or unchanged candle, red for a falling one."""
    return UP if candle.close >= candle.open else DOWN


def decimals(candles: Sequence[Candle]) -> int:
    """Return how many fractional digits show these prices exactly, at most 8."""
    prices = {p for c in candles for p in (c.open, c.high, c.low, c.close)}
    exponents = (Decimal(repr(price)).normalize().as_tuple().exponent for price in prices)
    return min(8, max([0, *(-e for e in exponents if isinstance(e, int))]))


def draw(candles: Sequence[Candle], interval: Interval, width: int, height: int) -> Text:
    """Draw the newest candles that fit: prices, volume, and a time axis."""
    digits = decimals(candles)
    label = max((len(f"{c.high:.{digits}f}") for c in candles), default=0) + 2
    room = width - label
    if not candles or room < 1 or height < 3:
        return Text("\n".join([" " * width] * height))
    step = min(_WIDEST, max(1, room // len(candles)))
    if step > 1 and len(candles) * _WIDEST > room:
        step = _STEP
    shown = candles[-((room + step - 1) // step) :]
    volume_rows = min(_MAX_VOLUME_ROWS, height // 5) if height >= _MIN_ROWS_WITH_VOLUME else 0
    low, high = min(c.low for c in shown), max(c.high for c in shown)
    if low == high:
        low, high = low * 0.999, high * 1.001
    plot = _Plot(shown, step, room, height - volume_rows - 1, low, high)
    lines = [*_prices(plot, digits, label), *_volumes(plot, volume_rows, label)]
    return Text("\n").join([*lines, _times(plot, interval, label)])


def _prices(plot: _Plot, digits: int, label: int) -> list[Text]:
    columns = {
        plot.column(index): (
            _candle(plot, candle, hollow=is_open(candle, newest=index == len(plot.candles) - 1)),
            colour(candle),
        )
        for index, candle in enumerate(plot.candles)
    }
    labels = _price_labels(plot, digits)
    newest = plot.candles[-1]
    lines = []
    for row in range(plot.rows):
        line = Text()
        for column in range(plot.width):
            glyphs, style = columns.get(column, ("", ""))
            line.append(glyphs[row] if glyphs else " ", style)
        line.append(f"┤{labels[row]}".ljust(label) if row in labels else "│".ljust(label), "dim")
        if row == plot.half(newest.close) // 2:
            line.right_crop(label)
            line.append("┤", "dim")
            line.append(f"{newest.close:.{digits}f}".ljust(label - 1), f"{colour(newest)} reverse")
        lines.append(line)
    return lines


def _candle(plot: _Plot, candle: Candle, *, hollow: bool) -> str:
    """Return the column of a candle, one character per row."""
    halves = [EMPTY] * (2 * plot.rows)
    body = sorted((plot.half(candle.open), plot.half(candle.close)))
    for half in range(plot.half(candle.high), plot.half(candle.low) + 1):
        halves[half] = BODY if body[0] <= half <= body[1] else WICK
    cells = list(zip(halves[::2], halves[1::2], strict=True))
    return "".join(HOLLOW if hollow and BODY in cell else GLYPHS[cell] for cell in cells)


def _price_labels(plot: _Plot, digits: int) -> dict[int, str]:
    """Return round prices by row, a few rows apart."""
    least = (plot.high - plot.low) / max(1, plot.rows / _ROWS_PER_LABEL)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= least)
    count = range(math.ceil(plot.low / step), math.floor(plot.high / step) + 1)
    return {plot.half(n * step) // 2: f"{n * step:.{digits}f}" for n in count}


def _volumes(plot: _Plot, rows: int, label: int) -> list[Text]:
    # Trades may have a size of 0.
    most = max(c.volume for c in plot.candles) or 1
    by_column = {plot.column(index): candle for index, candle in enumerate(plot.candles)}
    lines = []
    for row in range(rows):
        line = Text()
        floor = rows - 1 - row
        for column in range(plot.width):
            candle = by_column.get(column)
            eighths = 0 if candle is None else math.ceil(float(candle.volume / most) * rows * 8)
            line.append(
                _EIGHTHS[min(8, max(0, eighths - floor * 8))],
                f"{colour(candle)} dim" if candle else "",
            )
        name = short(most) if row == 0 else ""
        line.append(f"┤{name}"[:label].ljust(label) if name else "│".ljust(label), "dim")
        lines.append(line)
    return lines


def exact(volume: int | Decimal) -> str:
    """Return all digits of a volume."""
    return str(volume) if isinstance(volume, int) else plain_text(volume)


def grouped(volume: int | Decimal) -> str:
    """Return all digits of a volume, with commas between thousands."""
    return f"{volume:,}" if isinstance(volume, int) else f"{volume:,f}"


def vwap(candle: Candle) -> float | None:
    """Return the volume-weighted average price of a candle of trades; None if there is none."""
    if candle.turnover is None or not candle.volume:
        return None
    return float(candle.turnover / candle.volume)


def short(count: int | Decimal) -> str:
    """Abbreviate a count to about four characters."""
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{float(count) / 10**power:.3g}{unit}"
    return str(count) if isinstance(count, int) else f"{count:.3g}"


def _times(plot: _Plot, interval: Interval, label: int) -> Text:
    """Draw the time axis: round times, each starting at the column of its candle."""
    line, free = [" "] * (plot.width + label), 0
    previous: datetime | None = None
    for index in _round_starts(plot, interval):
        text = _time_label(plot.candles[index].start, previous, interval)
        column = plot.column(index)
        if column < free or column + len(text) > len(line):
            continue
        line[column : column + len(text)] = text
        free, previous = column + len(text) + _LABEL_GAP, plot.candles[index].start
    return Text("".join(line), "dim")


def _round_starts(plot: _Plot, interval: Interval) -> list[int]:
    """Return the candles with round start times; all of them for a day or longer."""
    indexes = list(range(len(plot.candles)))
    if interval.longest_us >= DAY_US:
        return indexes
    length_s = interval.longest_us // SECOND_US
    columns = _SECONDS_LABEL_COLUMNS if has_seconds(interval) else _LABEL_COLUMNS
    minimum_s = math.ceil(columns / plot.step) * length_s
    distance_s = next((s for s in _ROUND_S if s >= minimum_s and s % length_s == 0), _ROUND_S[-1])
    round_indexes = [n for n in indexes if _second(plot.candles[n].start) % distance_s == 0]
    return round_indexes if len(round_indexes) > 1 else indexes


def _second(at: datetime) -> int:
    """Return the second of the day."""
    return (at.hour * 60 + at.minute) * 60 + at.second


def has_seconds(interval: Interval) -> bool:
    """Whether the candles of an interval may start within a minute."""
    return interval.longest_us < MINUTE_US


def time_text(at: datetime, interval: Interval) -> str:
    """Return the time of day at which a candle starts, with seconds if they differ."""
    return f"{at:%H:%M:%S}" if has_seconds(interval) else f"{at:%H:%M}"


def _time_label(at: datetime, previous: datetime | None, interval: Interval) -> str:
    if interval.longest_us < DAY_US:
        day_changed = previous is None or previous.date() != at.date()
        time = time_text(at, interval)
        return f"{at:%d %b} {time}" if day_changed else time
    year_changed = previous is None or previous.year != at.year
    if interval.longest_us > timedelta(days=7) // timedelta(microseconds=1):
        return f"{at:%b %Y}" if year_changed else f"{at:%b}"
    return f"{at:%d %b %Y}" if year_changed else f"{at:%d %b}"
