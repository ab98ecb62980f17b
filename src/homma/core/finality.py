"""When a candle is final, and until when late ticks correct it. Pure.

- The **watermark** of a series is its largest event time minus the watermark delay; while the
  series is idle, the watermark moves with the clock.
- A candle is **final** once the watermark of its series has reached its end, and then stays final.
- A candle is **correctable** as long as a tick of its last microsecond is not dropped as late.
- A tick is **dropped as late** once the largest event time of its series is the allowed lateness or
  more past the end of the tick's minute, whatever the clocks are.

The engine records which candles are final (`isFinal`). Other engines leave it null: `land` and
`serve` then estimate the watermark from the records (docs/semantics.md). SQL defines late ticks
again: `in_time` in `flink/views.py`, and the grace period in `rendered/ksqldb.py`.

All arguments are polars expressions of microseconds since the epoch, or of microseconds.
"""

from dataclasses import dataclass

import polars as pl

from homma.core.interval import MINUTE_US, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalityRules:
    """The settings of the same names, in microseconds."""

    watermark_delay_us: int = 2_000_000
    idle_timeout_us: int = 5_000_000
    allowed_lateness_us: int = 600_000_000

    def watermark_us(self, largest_us: pl.Expr, idle_us: pl.Expr | None = None) -> pl.Expr:
        """The watermark of a series with this largest event time.

        `idle_us` is the time on the partition clock since the series' newest tick was read. Without
        it, the series counts as not idle.
        """
        by_event = largest_us - self.watermark_delay_us
        if idle_us is None:
            return by_event
        is_idle = idle_us >= self.idle_timeout_us
        return pl.max_horizontal(by_event, pl.when(is_idle).then(largest_us + idle_us))

    def estimated_watermark_us(self, largest_us: pl.Expr, idle_us: pl.Expr) -> pl.Expr:
        """The watermark of a series whose engine does not record which candles are final.

        `idle_us` is the time since the Kafka timestamp of the series' newest candle record. That
        record does not tell when its ticks were read, so the watermark delay counts for an idle
        series too.
        """
        is_idle = idle_us >= self.idle_timeout_us
        idle_time_us = pl.when(is_idle).then(idle_us).otherwise(0)
        return largest_us - self.watermark_delay_us + idle_time_us

    def recorded_watermark_us(
        self, largest_us: pl.Expr, read_us: pl.Expr, clock_us: int
    ) -> pl.Expr:
        """The watermark of a series whose candles are built from recorded ticks.

        `read_us` is when the newest live tick of the series was read, null if it has none. A tick
        from a file counts as read at its event time. The watermark of an idle series stays the idle
        timeout behind the engine's, so the engine would call every candle final that is final here.
        """
        idle_us = clock_us - pl.max_horizontal(largest_us, read_us)
        by_clock = largest_us + idle_us - self.idle_timeout_us
        is_idle = idle_us >= self.idle_timeout_us
        return pl.max_horizontal(self.watermark_us(largest_us), pl.when(is_idle).then(by_clock))

    def late_from_us(self, event_us: pl.Expr) -> pl.Expr:
        """The largest event time of the series from which a tick is dropped as late."""
        return _minute_end_us(event_us) + self.allowed_lateness_us

    def in_time_from_us(self, largest_us: pl.Expr) -> pl.Expr:
        """The event time from which no tick is dropped as late: the inverse of `late_from_us`."""
        at = largest_us - self.allowed_lateness_us
        return at - at % MINUTE_US

    def is_correctable(self, end_us: pl.Expr, largest_us: pl.Expr) -> pl.Expr:
        """Whether a tick may still correct a candle of a series with this largest event time.

        Lateness counts from the end of a tick's minute, also for candles of some seconds.
        """
        return self.late_from_us(end_us - 1) > largest_us

    def may_change(self, is_final: pl.Expr, end_us: pl.Expr, largest_us: pl.Expr) -> pl.Expr:
        """Whether a candle is open or correctable, so that the engine still needs it.

        If the largest event time of its series is unknown (null), it may change.
        """
        return ~is_final | self.is_correctable(end_us, largest_us).fill_null(value=True)

    def active_from_us(self, clock_us: int) -> int:
        """When the newest tick of a series must have been read, lest the series is dormant.

        Both instants are of the partition clock.
        """
        return clock_us - self.allowed_lateness_us

    def records_from_us(self, largest_us: int, max_future_us: int, longest_us: int) -> int:
        """The earliest Kafka timestamp of the candles of a series that may change.

        `longest_us` is the candles' length; 0 stands for the ticks whose copies are recognized. A
        tick's dateTime is at most `max_future` after its Kafka timestamp, and a candle's timestamp
        is the partition clock. Lateness counts from the end of the minute, so a candle of some
        seconds may be almost a minute older.
        """
        return largest_us - max_future_us - self.allowed_lateness_us - max(longest_us, MINUTE_US)


def is_final(end_us: pl.Expr, watermark_us: pl.Expr, *was_final: pl.Expr) -> pl.Expr:
    """Whether a candle is final: the watermark has reached its end, or it `was_final` before.

    Null counts as false: an unknown watermark has not reached anything.
    """
    is_reached = end_us <= watermark_us
    return pl.any_horizontal(*(e.fill_null(value=False) for e in (is_reached, *was_final)))


def open_from_us(interval: Interval, watermark_us: pl.Expr) -> pl.Expr:
    """The start of the oldest candle that is not final: `is_final` for all candles of a series."""
    return interval.floor(watermark_us)


def _minute_end_us(event_us: pl.Expr) -> pl.Expr:
    return (event_us // MINUTE_US + 1) * MINUTE_US
