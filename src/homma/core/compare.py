"""Two frames of candles, told apart by what their ticks decide. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from homma.core.recompute import EXPECTED_KEY

#: What is to be said of candles that are not as they must be.
WRONG: Final = ("missing", "extra", "different")
#: What the ticks decide of a candle, its key apart.
VALUES: Final = ("open", "high", "low", "close", "volume", "open_order_key", "close_order_key")


def compare(made: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Each key of either (columns of MADE_KEY and VALUES) with its `verdict`.

    `made` is what must be. Comes back with MADE_KEY, VALUES as they must be and, named found_…,
    as they are; columns of `found` beyond those stay. Places that are null were not told, and are
    not compared.
    """
    renamed = found.drop("end_us", strict=False).rename({name: f"found_{name}" for name in VALUES})
    both = (
        made.select(*EXPECTED_KEY, "end_us", *VALUES)
        .with_columns(_made=pl.lit(value=True))
        .join(
            renamed.with_columns(_found=pl.lit(value=True)),
            on=EXPECTED_KEY,
            how="full",
            coalesce=True,
        )
    )
    differs = pl.any_horizontal(_differs(name) for name in VALUES)
    return both.with_columns(
        verdict=pl.when(pl.col("_found").is_null())
        .then(pl.lit("missing"))
        .when(pl.col("_made").is_null())
        .then(pl.lit("extra"))
        .when(differs)
        .then(pl.lit("different"))
        .otherwise(pl.lit("equal"))
    ).drop("_made", "_found")


def _differs(name: str) -> pl.Expr:
    one, other = pl.col(name), pl.col(f"found_{name}")
    if name.endswith("order_key"):
        return (one != other).fill_null(value=False)
    return one.ne_missing(other)


def wrong_keys(verdicts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The keys that are not as they must be in one of the frames."""
    wrong = pl.col("verdict").is_in(WRONG)
    return pl.concat([f.filter(wrong).select(EXPECTED_KEY) for f in verdicts]).unique()


@dataclass(slots=True)
class Tally:
    """Counts of verdicts by interval, and the first few candles of each that is not equal."""

    most: int = 5
    counts: dict[tuple[int, str], int] = field(default_factory=dict)
    examples: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, judged: pl.DataFrame) -> None:
        """Count a frame of `compare`."""
        for interval, verdict, count in judged.group_by("interval", "verdict").len().iter_rows():
            self.counts[interval, verdict] = self.counts.get((interval, verdict), 0) + count
        wrong = judged.filter(pl.col("verdict").is_in(WRONG))
        for (verdict,), rows in wrong.group_by("verdict"):
            kept = self.examples.setdefault(str(verdict), [])
            kept += rows.sort(EXPECTED_KEY).head(self.most - len(kept)).to_dicts()

    def of(self, verdict: str) -> int:
        """How many there are of a verdict."""
        return sum(count for (_, name), count in self.counts.items() if name == verdict)

    @property
    def wrong(self) -> int:
        """How many candles are not as they must be."""
        return sum(self.of(verdict) for verdict in WRONG)
