"""How long ticks took until their candles were committed, by columns. Pure."""

from dataclasses import dataclass

import polars as pl

from homma.metrics import SECONDS


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The Kafka timestamps (microseconds) of ticks that wait for their candles' commit."""

    timestamps: tuple[pl.Series, ...] = ()

    def with_(self, timestamps_us: pl.Series) -> "Arrivals":
        """With more ticks."""
        return Arrivals((*self.timestamps, timestamps_us))

    def since(self, now_us: int) -> tuple[list[int], float]:
        """Counts by the buckets of the histogram, and the sum of seconds."""
        if not self.timestamps:
            return [0] * (len(SECONDS) + 1), 0.0
        seconds = (now_us - pl.concat(self.timestamps)).clip(0) / 1e6
        edges = pl.Series(SECONDS, dtype=pl.Float64)
        found = edges.search_sorted(seconds, side="left").value_counts()
        counts = [0] * (len(SECONDS) + 1)
        for bucket, count in found.iter_rows():
            counts[bucket] = count
        return counts, float(seconds.sum())
