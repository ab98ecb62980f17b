"""The time from ticks to their committed candles, computed by columns. Pure."""

from dataclasses import dataclass

import polars as pl

from homma.metrics import SECONDS


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The Kafka timestamps, in microseconds, of ticks whose candles are not committed yet."""

    timestamps: tuple[pl.Series, ...] = ()

    def add(self, timestamps_us: pl.Series) -> "Arrivals":
        """With more ticks."""
        return Arrivals((*self.timestamps, timestamps_us))

    def histogram(self, now_us: int) -> tuple[list[int], float]:
        """The counts by histogram bucket, and the sum in seconds."""
        if not self.timestamps:
            return [0] * (len(SECONDS) + 1), 0.0
        seconds = (now_us - pl.concat(self.timestamps)).clip(0) / 1e6
        edges = pl.Series(SECONDS, dtype=pl.Float64)
        buckets = edges.search_sorted(seconds, side="left").value_counts()
        counts = [0] * (len(SECONDS) + 1)
        for bucket, count in buckets.iter_rows():
            counts[bucket] = count
        return counts, float(seconds.sum())
