"""How `homma tail` shows candles: drawn on a terminal, or a line for each change."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from homma.cli import chart
from homma.core.interval import DAY_US, Interval
from homma.topics.latest import Candle, DeletedCandle, Latest, SeriesKey

TailChange = Candle | DeletedCandle

#: How many candles there are to begin with where no terminal limits them.
_LINES: Final = 20
#: Lines around the chart: the title above; the newest candle and what there is to say below.
_AROUND: Final = 3


@dataclass(slots=True)
class TailSelection:
    """What was asked for; `source` becomes the one that is shown as soon as there is one."""

    interval: Interval
    symbol: str | None
    source: str | None
    last: int | None

    def choose(self, latest: Latest) -> SeriesKey | None:
        """The series to show, where one symbol is wanted: of several sources the most recent."""
        found = [s for s in latest.series() if s[1] == self.symbol]
        if self.source is None and found:
            # Of those alike the first by name; and what is shown once stays.
            self.source = max(found, key=lambda s: latest.candles(s)[-1].start)[0]
        return next((s for s in found if s[0] == self.source), None)

    def enough(self, latest: Latest, room: int) -> bool:
        """Whether going further back would only bring candles older than those that fit."""
        series = self.choose(latest) if self.symbol else None
        if series is None:
            return False
        # Corrected ones may be from anywhere: only of the others, written in their order, so
        # many as fit mean that none is missing between them.
        first = [c for c in latest.candles(series) if (c.revision or 0) <= 1]
        return len(first) >= room

    def shows(self, candle: Candle) -> bool:
        """Whether a candle is one of those wanted."""
        return self.symbol in (None, candle.symbol) and self.source in (None, candle.source)


class Output(Protocol):
    """Where the candles go."""

    def room(self) -> int:
        """How many candles of a series are wanted."""

    def say(self, text: str) -> None:
        """Tell people something beside the candles."""

    def begin(self, latest: Latest) -> None:
        """Show what is there."""

    def show(self, latest: Latest, changes: Sequence[TailChange]) -> None:
        """Show what has changed, which may be nothing."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Lines:
    """A line for each candle to begin with, then for each change: text or JSON."""

    def __init__(self, wanted: TailSelection, out: TextIO, *, as_json: bool) -> None:
        self._wanted = wanted
        self._out = out
        self._as_json = as_json

    def room(self) -> int:
        """As many as are asked for, or a few."""
        return self._wanted.last or (_LINES if self._wanted.symbol else 1)

    def say(self, text: str) -> None:
        """Into the log, which is not the output."""
        logging.getLogger("homma.tail").warning("%s", text)

    def begin(self, latest: Latest) -> None:
        """What there is, oldest first."""
        for series in latest.series():
            self._write([c for c in latest.candles(series) if self._wanted.shows(c)])

    def show(self, latest: Latest, changes: Sequence[TailChange]) -> None:
        """What has changed, in order."""
        if self._wanted.symbol:
            self._wanted.choose(latest)
        self._write(changes)

    def _write(self, changes: Sequence[TailChange]) -> None:
        for change in changes:
            candle = change.candle if isinstance(change, DeletedCandle) else change
            if self._wanted.shows(candle):
                self._out.write((_json(change) if self._as_json else _line(change)) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing to be undone."""


def _json(change: TailChange) -> str:
    if isinstance(change, Candle):
        return json.dumps(json.loads(change.text), ensure_ascii=False)
    names = ("source", "symbol", "dateTime")
    value = json.loads(change.candle.text)
    gone = {name: value[name] for name in names}
    return json.dumps({**gone, "deleted": True}, ensure_ascii=False)


def _line(change: TailChange) -> str:
    candle = change.candle if isinstance(change, DeletedCandle) else change
    what = "gone" if isinstance(change, DeletedCandle) else state(candle, newest=False)
    # Another engine's, which does not say.
    what = "" if candle.is_final is None and what == "final" else what
    return (
        f"{candle.start:%Y-%m-%dT%H:%M} {candle.symbol} {candle.source} "
        f"O {candle.open!r} H {candle.high!r} L {candle.low!r} C {candle.close!r} "
        f"V {candle.volume} {what}"
    ).rstrip()


def state(candle: Candle, *, newest: bool) -> str:
    """How a candle stands, in a word or two."""
    if chart.is_open(candle, newest=newest):
        return "open"
    revision = candle.revision or 0
    return f"corrected ({revision - 1}x)" if revision > 1 else "final"


class Drawn:
    """A chart of one series, or a table of all, redrawn in place."""

    def __init__(self, wanted: TailSelection, console: Console, *, live: bool) -> None:
        self._wanted = wanted
        self._console = console
        self._said = _LastSaid()
        self._drawn: tuple[object, ...] = ()
        self._live = (
            Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False)
            if live
            else None
        )

    def room(self) -> int:
        """As many as are asked for, or fit the widest that this terminal is likely to become."""
        if not self._wanted.symbol:
            return 1
        return self._wanted.last or max(chart.fitting(self._console.width), chart.fitting(200))

    def say(self, text: str) -> None:
        """In the last line."""
        self._said.text = text

    def begin(self, latest: Latest) -> None:
        """Draw; and if live, take over the terminal and what is logged."""
        if self._live is None:
            self._console.print(self._picture(latest))
            return
        logging.getLogger().addHandler(self._said)
        for handler in self._said.others:
            logging.getLogger().removeHandler(handler)
        self._live.start()
        self.show(latest, [])

    def show(self, latest: Latest, changes: Sequence[TailChange]) -> None:
        """Draw again, if anything has changed: candles, the terminal's size, what is said."""
        if changes:
            # What was amiss is over.
            self._said.text = ""
        now = (self._console.size, self._said.text)
        if self._live is not None and (changes or now != self._drawn):
            self._drawn = now
            self._live.update(self._picture(latest), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            for handler in self._said.others:
                logging.getLogger().addHandler(handler)
            logging.getLogger().removeHandler(self._said)

    def _picture(self, latest: Latest) -> RenderableType:
        if self._wanted.symbol:
            return self._chart(latest)
        return _table(latest, self._wanted.interval, self._console.height - 1, self._live is None)

    def _chart(self, latest: Latest) -> RenderableType:
        wanted = self._wanted
        series = wanted.choose(latest)
        if series is None:
            return Text(self._said.text or f"no candle of {wanted.symbol} yet")
        width, height = self._console.size
        candles = latest.candles(series)[-(wanted.last or chart.fitting(width)) :]
        # Printed once, it leaves a line for the prompt.
        rows = height - _AROUND - (self._live is None)
        lines = [_title(latest, series, wanted.interval), _newest(candles[-1], wanted.interval)]
        notes = Text(self._said.text.replace("\n", " "), "dim")
        for line in (*lines, notes):
            line.no_wrap, line.overflow = True, "ellipsis"
        picture = chart.draw(candles, wanted.interval, width, max(0, rows))
        picture.no_wrap, picture.overflow = True, "crop"
        return Group(lines[0], picture, lines[1], *([notes] if notes.plain else []))


class _LastSaid(logging.Handler):
    """Keeps the last line of the log, which would spoil the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.others = list(logging.getLogger().handlers)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _title(latest: Latest, series: SeriesKey, interval: Interval) -> Text:
    source, symbol = series
    text = Text.assemble((symbol, "bold"), f"  {source}  {interval.code} ({interval.name})")
    others = [s[0] for s in latest.series() if s[1] == symbol and s[0] != source]
    if others:
        text.append(f"  also from {', '.join(others)}: --source", "dim")
    if latest.split(series):
        text.append("  stands in several partitions: key ticks SOURCE:SYMBOL", "bold red")
    return text


def _newest(candle: Candle, interval: Interval) -> Text:
    digits = chart.decimals([candle])
    shown = zip("OHLC", (candle.open, candle.high, candle.low, candle.close), strict=True)
    start = f"{candle.start:%d %b %Y}" if interval.longest_us >= DAY_US else f"{candle.start:%H:%M}"
    text = Text.assemble((f"{start} {state(candle, newest=True)} ", "dim"))
    for name, price in shown:
        text.append(f" {name} ", "dim").append(f"{price:.{digits}f}", chart.colour(candle))
    return text.append("  V ", "dim").append(f"{candle.volume:,}")


def _table(latest: Latest, interval: Interval, height: int, whole: bool) -> RenderableType:
    table = Table(title=f"newest candles of {interval.name} ({interval.code}), UTC", box=None)
    for name in ("symbol", "source", "start"):
        table.add_column(name, no_wrap=True)
    for name in ("open", "high", "low", "close", "volume"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    every = latest.series()
    # The title, the head and a line for those that do not fit.
    fit = len(every) if whole else max(1, height - 3)
    for series in every[:fit]:
        candle = latest.candles(series)[-1]
        digits = chart.decimals([candle])
        table.add_row(
            candle.symbol,
            candle.source,
            f"{candle.start:%Y-%m-%d %H:%M}",
            *(f"{p:.{digits}f}" for p in (candle.open, candle.high, candle.low)),
            Text(f"{candle.close:.{digits}f}", chart.colour(candle)),
            f"{candle.volume:,}",
            Text(state(candle, newest=True), "dim"),
        )
    if not every:
        return Text(f"no candles of {interval.name} yet")
    more = Text(f"and {len(every) - fit} more series", "dim")
    return Group(table, more) if len(every) > fit else table
