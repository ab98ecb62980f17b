"""The output of `homma tail`: drawings on a terminal, or one line per change."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from homma.cli.terminal import chart
from homma.core.interval import DAY_US, Interval
from homma.topics.candle import Candle, SeriesKey
from homma.topics.latest import DeletedCandle, LatestCandles

TailChange = Candle | DeletedCandle

#: Number of candles printed at the start if the output is not a terminal.
_INITIAL_LINES: Final = 20
#: Lines around the chart: the title above, the newest candle and a note below.
_LINES_AROUND: Final = 3


@dataclass(slots=True)
class TailSelection:
    """The candles to show. `source` is set to the one shown once there is one."""

    interval: Interval
    symbol: str | None
    source: str | None
    last: int | None

    def choose(self, latest: LatestCandles) -> SeriesKey | None:
        """Return the series of the symbol to show: if it has several, the most recent one."""
        candidates = [s for s in latest.series() if s[1] == self.symbol]
        if self.source is None and candidates:
            # The first by name if several are equally recent. The choice stays.
            self.source = max(candidates, key=lambda s: latest.candles(s)[-1].start)[0]
        return next((s for s in candidates if s[0] == self.source), None)

    def enough(self, latest: LatestCandles, room: int) -> bool:
        """Whether reading further back would only add candles older than those that fit."""
        series = self.choose(latest) if self.symbol else None
        if series is None:
            return False
        # Corrections may be of any age. First revisions are written in order: if enough of them
        # were read, no candle between them is missing.
        first_revisions = [c for c in latest.candles(series) if (c.revision or 0) <= 1]
        return len(first_revisions) >= room

    def shows(self, candle: Candle) -> bool:
        """Whether the selection includes a candle."""
        return self.symbol in (None, candle.symbol) and self.source in (None, candle.source)


class Output(Protocol):
    """A destination of candles."""

    def room(self) -> int:
        """Return how many candles of a series to read."""

    def say(self, text: str) -> None:
        """Show a note next to the candles."""

    def begin(self, latest: LatestCandles) -> None:
        """Show the current candles."""

    def show(self, latest: LatestCandles, changes: Sequence[TailChange]) -> None:
        """Show the changes, if any."""

    def close(self) -> None:
        """Restore the terminal."""


class Lines:
    """One line for each current candle, then for each change, as text or JSON."""

    def __init__(self, selection: TailSelection, out: TextIO, *, as_json: bool) -> None:
        self._selection = selection
        self._out = out
        self._as_json = as_json

    def room(self) -> int:
        """Return --last, or a few."""
        return self._selection.last or (_INITIAL_LINES if self._selection.symbol else 1)

    def say(self, text: str) -> None:
        """Log the note, to keep it out of the output."""
        logging.getLogger("homma.tail").warning("%s", text)

    def begin(self, latest: LatestCandles) -> None:
        """Print the current candles, oldest first."""
        for series in latest.series():
            self._write([c for c in latest.candles(series) if self._selection.shows(c)])

    def show(self, latest: LatestCandles, changes: Sequence[TailChange]) -> None:
        """Print the changes in order."""
        if self._selection.symbol:
            self._selection.choose(latest)
        self._write(changes)

    def _write(self, changes: Sequence[TailChange]) -> None:
        for change in changes:
            candle = change.candle if isinstance(change, DeletedCandle) else change
            if self._selection.shows(candle):
                self._out.write(self._text(change) + "\n")
        self._out.flush()

    def _text(self, change: TailChange) -> str:
        return _json(change) if self._as_json else _line(change, self._selection.interval)

    def close(self) -> None:
        """Do nothing."""


def _json(change: TailChange) -> str:
    if isinstance(change, Candle):
        # As it was written, because a parser rounds decimals.
        return " ".join(change.text.decode().splitlines())
    names = ("source", "symbol", "dateTime")
    value = json.loads(change.candle.text)
    key = {name: value[name] for name in names}
    return json.dumps({**key, "deleted": True}, ensure_ascii=False)


def _line(change: TailChange, interval: Interval) -> str:
    candle = change.candle if isinstance(change, DeletedCandle) else change
    text = "deleted" if isinstance(change, DeletedCandle) else state(candle, newest=False)
    # Other engines do not report whether a candle is final.
    text = "" if candle.is_final is None and text == "final" else text
    return (
        f"{candle.start:%Y-%m-%d}T{chart.time_text(candle.start, interval)} "
        f"{candle.symbol} {candle.source} "
        f"O {candle.open!r} H {candle.high!r} L {candle.low!r} C {candle.close!r} "
        f"V {chart.exact(candle.volume)} {text}"
    ).rstrip()


def state(candle: Candle, *, newest: bool) -> str:
    """Return the state of a candle in a word or two."""
    if chart.is_open(candle, newest=newest):
        return "open"
    revision = candle.revision or 0
    return f"corrected ({revision - 1}x)" if revision > 1 else "final"


class Drawn:
    """A chart of one series, or a table of all series, redrawn in place."""

    def __init__(self, selection: TailSelection, console: Console, *, live: bool) -> None:
        self._selection = selection
        self._console = console
        self._note = _LastLogLine()
        self._drawn: tuple[object, ...] = ()
        self._live = (
            Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False)
            if live
            else None
        )

    def room(self) -> int:
        """Return --last, or how many fit if the terminal is widened later."""
        if not self._selection.symbol:
            return 1
        return self._selection.last or max(chart.fitting(self._console.width), chart.fitting(200))

    def say(self, text: str) -> None:
        """Show the note in the last line."""
        self._note.text = text

    def begin(self, latest: LatestCandles) -> None:
        """Draw the candles; if live, also take over the terminal and the log."""
        if self._live is None:
            self._console.print(self._picture(latest))
            return
        logging.getLogger().addHandler(self._note)
        for handler in self._note.other_handlers:
            logging.getLogger().removeHandler(handler)
        self._live.start()
        self.show(latest, [])

    def show(self, latest: LatestCandles, changes: Sequence[TailChange]) -> None:
        """Redraw if the candles, the note or the size of the terminal have changed."""
        if changes:
            # The note no longer applies.
            self._note.text = ""
        state_drawn = (self._console.size, self._note.text)
        if self._live is not None and (changes or state_drawn != self._drawn):
            self._drawn = state_drawn
            self._live.update(self._picture(latest), refresh=True)

    def close(self) -> None:
        """Restore the terminal and the log."""
        if self._live is not None:
            self._live.stop()
            for handler in self._note.other_handlers:
                logging.getLogger().addHandler(handler)
            logging.getLogger().removeHandler(self._note)

    def _picture(self, latest: LatestCandles) -> RenderableType:
        if self._selection.symbol:
            return self._chart(latest)
        return _table(
            latest, self._selection.interval, self._console.height - 1, self._live is None
        )

    def _chart(self, latest: LatestCandles) -> RenderableType:
        selection = self._selection
        series = selection.choose(latest)
        if series is None:
            return Text(self._note.text or f"no candle of {selection.symbol} yet")
        width, height = self._console.size
        candles = latest.candles(series)[-(selection.last or chart.fitting(width)) :]
        # With --once, leave a line for the prompt.
        rows = height - _LINES_AROUND - (self._live is None)
        lines = [
            _title(latest, series, selection.interval),
            _newest(candles[-1], selection.interval),
        ]
        note = Text(self._note.text.replace("\n", " "), "dim")
        for line in (*lines, note):
            line.no_wrap, line.overflow = True, "ellipsis"
        picture = chart.draw(candles, selection.interval, width, max(0, rows))
        picture.no_wrap, picture.overflow = True, "crop"
        return Group(lines[0], picture, lines[1], *([note] if note.plain else []))


class _LastLogLine(logging.Handler):
    """Keeps the last line of the log, which is shown below the chart."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.other_handlers = list(logging.getLogger().handlers)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _title(latest: LatestCandles, series: SeriesKey, interval: Interval) -> Text:
    source, symbol = series
    text = Text.assemble((symbol, "bold"), f"  {source}  {interval.code} ({interval.name})")
    others = [s[0] for s in latest.series() if s[1] == symbol and s[0] != source]
    if others:
        text.append(f"  also from {', '.join(others)}: --source", "dim")
    if latest.is_split(series):
        text.append("  is in several partitions: key ticks SOURCE:SYMBOL", "bold red")
    return text


def _newest(candle: Candle, interval: Interval) -> Text:
    digits = chart.decimals([candle])
    prices = zip("OHLC", (candle.open, candle.high, candle.low, candle.close), strict=True)
    at = candle.start
    start = f"{at:%d %b %Y}" if interval.longest_us >= DAY_US else chart.time_text(at, interval)
    text = Text.assemble((f"{start} {state(candle, newest=True)} ", "dim"))
    for name, price in prices:
        text.append(f" {name} ", "dim").append(f"{price:.{digits}f}", chart.colour(candle))
    text.append("  V ", "dim").append(chart.grouped(candle.volume))
    vwap = chart.vwap(candle)
    return text if vwap is None else text.append("  VWAP ", "dim").append(f"{vwap:.{digits}f}")


def _table(
    latest: LatestCandles, interval: Interval, height: int, show_all: bool
) -> RenderableType:
    table = Table(title=f"newest candles of {interval.name} ({interval.code}), UTC", box=None)
    for name in ("symbol", "source", "start"):
        table.add_column(name, no_wrap=True)
    for name in ("open", "high", "low", "close", "volume"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    every_series = latest.series()
    # Three lines are the title, the header and the number of further series.
    fitting = len(every_series) if show_all else max(1, height - 3)
    for series in every_series[:fitting]:
        candle = latest.candles(series)[-1]
        digits = chart.decimals([candle])
        table.add_row(
            candle.symbol,
            candle.source,
            f"{candle.start:%Y-%m-%d} {chart.time_text(candle.start, interval)}",
            *(f"{p:.{digits}f}" for p in (candle.open, candle.high, candle.low)),
            Text(f"{candle.close:.{digits}f}", chart.colour(candle)),
            chart.grouped(candle.volume),
            Text(state(candle, newest=True), "dim"),
        )
    if not every_series:
        return Text(f"no candles of {interval.name} yet")
    hidden = len(every_series) - fitting
    return Group(table, Text(f"and {hidden} more series", "dim")) if hidden > 0 else table
