"""Candles that the engine withholds, and those of them that it still needs. Pure.

After a rebuild, or when an interval was chosen later, the engine withholds the candles that start
before `begin` in its offset metadata, because they lack ticks that it has not read. `homma repair`
publishes them. When it has repaired all candles of a partition, it **hands over** those that ticks
may still change: they are as of the committed offset, a restart reads them, and `begin` is empty.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import polars as pl

from homma.core.calendar import Calendar
from homma.core.finality import FinalityRules
from homma.core.interval import CODE
from homma.core.recompute import (
    CANDLE_KEYS,
    EXPECTED,
    EXPECTED_KEY,
    RECORDED,
    CandleKeys,
    ExpectedCandles,
    RecordedTicks,
)
from homma.core.series import NAMES
from homma.lake.audit.comparing import Comparison, NewestRecords
from homma.lake.audit.correction import CorrectedCandles, newest_event_times
from homma.topics.offset_metadata import OffsetMetadata

_NEWEST: Final = pl.Schema([("source", pl.String()), ("symbol", pl.String()), ("us", pl.Int64())])


class WithheldCandles:
    """The candles that start before `begin_us` (by interval) and that ticks may still change.

    They are as the lake's ticks make them. Ticks that come after those can change no other candle:
    they would be dropped as late.
    """

    def __init__(
        self, calendar: Calendar, begin_us: Mapping[str, int], rules: FinalityRules
    ) -> None:
        self._calendar = calendar
        self._begin_us = begin_us
        self._rules = rules
        self._newest = pl.DataFrame(schema=_NEWEST)
        self._comparison: Comparison | None = None

    def covers(self, begin_us: Mapping[str, int]) -> bool:
        """Whether all candles that start before another `begin_us` are known here."""
        return all(us <= self._begin_us.get(code, us - 1) for code, us in begin_us.items())

    def add(self, comparison: Comparison) -> None:
        """Add the candles of a slice; slices come in the order of time."""
        newest = newest_event_times(comparison.expected).rename({"newest_us": "us"})
        self._newest = pl.concat([self._newest, newest]).group_by(NAMES).agg(pl.col("us").max())
        before = self._comparison
        withheld = comparison.restrict(self._withheld(comparison.expected, self._begin_us))
        candles = withheld if before is None else before.concat(withheld)
        keys = candles.expected.join(self._newest, on=NAMES).filter(
            self._rules.is_correctable(pl.col("end_us"), pl.col("us"))
        )
        self._comparison = candles.restrict(keys.select(EXPECTED_KEY))

    def comparison(self, keys: CandleKeys) -> Comparison:
        """The candles with some keys, and the rows that the tables had."""
        if self._comparison is None:
            return Comparison(EXPECTED.to_frame(), RECORDED.to_frame(), None)
        return self._comparison.restrict(keys)

    def keys(self, unlanded: RecordedTicks, begin_us: Mapping[str, int]) -> CandleKeys:
        """The keys of the candles, and of those that unlanded ticks make."""
        frames = [CANDLE_KEYS.to_frame()]
        if self._comparison is not None:
            frames.append(self._withheld(self._comparison.expected, begin_us))
        frames += self._keys_of_ticks(unlanded, begin_us)
        return pl.concat(frames).unique()

    def _withheld(self, candles: ExpectedCandles, begin_us: Mapping[str, int]) -> CandleKeys:
        """The keys of the candles that start before their interval's `begin_us`."""
        begins = [
            (pl.col("interval") == code) & (pl.col("start_us") < us)
            for code, us in begin_us.items()
        ]
        is_withheld = pl.any_horizontal(pl.lit(value=False), *begins)
        return candles.filter(is_withheld).select(EXPECTED_KEY)

    def _keys_of_ticks(
        self, ticks: RecordedTicks, begin_us: Mapping[str, int]
    ) -> Iterator[CandleKeys]:
        start = pl.col("start_us")
        with_newest = ticks.join(self._newest, on=NAMES, how="left")
        for interval in self._calendar:
            candles = with_newest.with_columns(
                interval=pl.lit(interval.code, CODE), start_us=interval.floor(pl.col("event_us"))
            ).with_columns(end_us=interval.next(start))
            # The newest event time is null if the lake has no tick of the series.
            is_correctable = self._rules.is_correctable(pl.col("end_us"), pl.col("us"))
            yield self._withheld(candles.filter(is_correctable.fill_null(value=True)), begin_us)


def withheld_candles(
    metadata: Iterable[OffsetMetadata], calendar: Calendar, rules: FinalityRules
) -> WithheldCandles | None:
    """The candles that an engine withholds, still without any; None if it withholds none."""
    begins = [partition.begin for partition in metadata if partition.begin]
    if not begins:
        return None
    codes = {code for begin_us in begins for code in begin_us}
    latest_us = {code: max(begin_us.get(code, 0) for begin_us in begins) for code in codes}
    return WithheldCandles(calendar, latest_us, rules)


def unread_keys(
    needed: CorrectedCandles, records: NewestRecords, began: Mapping[str, int]
) -> CandleKeys:
    """The keys of needed candles whose records are of an earlier run, which no restart reads."""
    offsets = records.select(*EXPECTED_KEY, "offset")
    run_start = pl.col("interval").replace_strict(dict(began), default=0, return_dtype=pl.Int64)
    is_earlier = (pl.col("offset") < run_start).fill_null(value=True)
    return needed.join(offsets, on=EXPECTED_KEY, how="left").filter(is_earlier).select(EXPECTED_KEY)
