"""Sources, as the settings want them."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from random import Random
from typing import Final

import polars as pl

from homma.core.interval import DAY_US
from homma.durations import microseconds
from homma.errors import FeedError, SettingError
from homma.feed.instants import recorded_us
from homma.feed.instruments import market
from homma.feed.recorded import Layout
from homma.feed.replay import Recording, Replay, survey
from homma.feed.source import Pacer
from homma.feed.synthetic import Flaws, Synthetic
from homma.settings import GenerateSettings, ReplaySettings

# Without a seed the walks are others every time; the instruments stay, or every restart would
# begin new series.
_INSTRUMENTS: Final = "homma"
# Late ticks are dated before the start, and a tick not before 1970.
_EARLIEST_US: Final = 366 * DAY_US


def synthetic(settings: GenerateSettings, now_us: int) -> Synthetic:
    """Made-up ticks, the first dated `start`, or now."""
    count, symbols = _shares(settings)
    speed = speed_of(settings.speed)
    pace = Pacer(start_us(settings.start), speed, now_us) if settings.start else None
    if pace and not settings.rate:
        raise SettingError(
            "rate is 0 where a start is given", "give a rate: it says how far apart the dates are"
        )
    sources, instruments = market(settings.seed or _INSTRUMENTS, count, symbols)
    return Synthetic(
        sources,
        instruments,
        settings.rate,
        start_us(settings.start) if settings.start else now_us,
        Random(settings.seed or None),  # noqa: S311  prices, not secrets
        Flaws(
            late=settings.late,
            out_of_order=settings.out_of_order,
            duplicates=settings.duplicates,
            invalid=settings.invalid,
            late_by_us=microseconds(settings.late_by),
            disorder_us=microseconds(settings.disorder),
        ),
        pace,
    )


def _shares(settings: GenerateSettings) -> tuple[int, int]:
    """How many sources, and how many instruments each of them quotes."""
    for name, count in (("sources", settings.sources), ("series", settings.series)):
        if count < 1:
            raise SettingError(f"{name} is {count}", "there must be one at least")
    sources = min(settings.sources, settings.series)
    if settings.series % sources:
        raise SettingError(
            f"series is {settings.series}, which {sources} sources cannot share evenly",
            "give a multiple of the sources, or --sources 1",
        )
    return sources, settings.series // sources


def replay(
    paths: Sequence[Path], columns: Sequence[str], settings: ReplaySettings
) -> tuple[Replay, Recording]:
    """Recorded ticks, and the recording that counts the rows left out.

    `columns` are texts such as mid=price. To rebase them the files are read once beforehand.
    """
    layout = Layout(
        columns=columns_of(columns),
        source=settings.source,
        symbol=settings.symbol,
        unit=settings.time_unit,
        skip=settings.skip_invalid_rows,
    )
    speed = speed_of(settings.speed)
    recording = Recording(paths, layout, one_byte(settings.separator))
    rebase = settings.rebase == "now"
    span = survey(recording, settings.limit) if rebase else None
    if rebase and span is None:
        raise FeedError("there are no ticks in the files", "name files that have some")
    return Replay(recording, speed, span, rebase=rebase), recording


def one_byte(separator: str) -> str:
    """The separator, if it can be one."""
    if len(separator.encode()) != 1:
        raise SettingError(f"separator is {separator!r}", "give one ASCII character")
    return separator


def speed_of(text: str) -> float:
    """Event time over wall time; infinite for max."""
    try:
        speed = inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise SettingError(f"speed is {text!r}", "give a number above 0, such as 1 or 60, or max")
    return speed


def start_us(text: str) -> int:
    """Microseconds of a start."""
    us = recorded_us(pl.Series([text], dtype=pl.String), "text")[0]
    if us is None or us < _EARLIEST_US:
        raise SettingError(f"start is {text!r}", "give a date, as 2025-03-20T14:31:28, from 1971")
    return int(us)


def columns_of(pairs: Sequence[str]) -> dict[str, str]:
    """The file's column of a field, of texts such as mid=price."""
    columns: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not (name and equals and column):
            raise SettingError(f"--column {pair} names no column", "write --column FIELD=COLUMN")
        columns[name] = column
    return columns
