"""The rule that a series is in one partition, and the search for series that break it.

The engine builds candles partition by partition. If the ticks of a series are in two partitions,
the series is split: each partition has only part of each candle's ticks, and both write their
candles under one key.

Only ticks of a topic and candles of homma's engine count. Ticks from files are in no partition, and
other engines, whose candles have no revision, choose the partition by the whole key. Callers leave
these out.
"""

from collections.abc import Mapping

import polars as pl

from homma.core.series import NAMES
from homma.errors import SplitSeries


class SeriesPartitions:
    """The partition of each series, as far as it has been seen."""

    def __init__(self) -> None:
        self._partitions: dict[tuple[str, str], int] = {}
        self._split: set[tuple[str, str]] = set()

    @property
    def by_series(self) -> Mapping[tuple[str, str], int]:
        """The first partition in which each series, as (source, symbol), was seen."""
        return self._partitions

    def add(self, series: tuple[str, str], partition: int) -> None:
        """Add a partition in which a series was seen."""
        if self._partitions.setdefault(series, partition) != partition:
            self._split.add(series)

    def is_split(self, series: tuple[str, str]) -> bool:
        """Whether a series was seen in more than one partition."""
        return series in self._split

    def require_unsplit(self, rows: pl.DataFrame, origin: str) -> None:
        """Add the series of rows (source, symbol, partition) that were read from `origin`.

        Raises SplitSeries if this splits a series.
        """
        pairs = rows.select(*NAMES, "partition").unique(maintain_order=True)
        for source, symbol, partition in pairs.iter_rows():
            self.add((source, symbol), partition)
            first = self._partitions[source, symbol]
            if first != partition:
                raise SplitSeries(
                    f"series {source}:{symbol} of {origin} is in partitions {first} and "
                    f"{partition}, so each partition has only part of each candle's ticks",
                    "produce the ticks with the key SOURCE:SYMBOL, or start the engine with "
                    "--rekey --rebuild",
                )

    def forget(self, partition: int) -> None:
        """Forget the series of a partition that another process owns from now on."""
        self._partitions = {name: p for name, p in self._partitions.items() if p != partition}
