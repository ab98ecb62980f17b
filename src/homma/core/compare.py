"""Compares two frames of candles by the fields that depend on ticks. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import polars as pl

from homma.core import fields
from homma.core.recompute import EXPECTED, EXPECTED_KEY, CandleKeys, ExpectedCandles

#: The verdicts on candles that are not as expected.
WRONG: Final = ("missing", "extra", "different")
#: The fields of a candle that depend on ticks, without its key.
VALUES: Final = (*fields.VALUES, "open_order_key", "close_order_key")

VERDICT: Final = pl.Schema(
    {**EXPECTED, **{f"actual_{name}": EXPECTED[name] for name in VALUES}, "verdict": pl.String()}
)
#: Every candle that is expected or there, with both values of each field and the verdict.
Verdicts: TypeAlias = pl.DataFrame


def compare(expected: ExpectedCandles, actual: pl.DataFrame) -> Verdicts:
    """Every key of either frame with its verdict.

    `actual` has the columns EXPECTED_KEY and VALUES; its further columns stay. An order key that is
    null was not recorded, and is not compared.
    """
    renamed = actual.drop("end_us", strict=False).rename(
        {name: f"actual_{name}" for name in VALUES}
    )
    both = (
        expected.select(*EXPECTED_KEY, "end_us", *VALUES)
        .with_columns(_is_expected=pl.lit(value=True))
        .join(
            renamed.with_columns(_is_actual=pl.lit(value=True)),
            on=EXPECTED_KEY,
            how="full",
            coalesce=True,
        )
    )
    differs = pl.any_horizontal(_differs(name) for name in VALUES)
    return both.with_columns(
        verdict=pl.when(pl.col("_is_actual").is_null())
        .then(pl.lit("missing"))
        .when(pl.col("_is_expected").is_null())
        .then(pl.lit("extra"))
        .when(differs)
        .then(pl.lit("different"))
        .otherwise(pl.lit("equal"))
    ).drop("_is_expected", "_is_actual")


def _differs(name: str) -> pl.Expr:
    expected, actual = pl.col(name), pl.col(f"actual_{name}")
    if name.endswith("order_key"):
        return (expected != actual).fill_null(value=False)
    return expected.ne_missing(actual)


def wrong_keys(verdicts: Iterable[Verdicts]) -> CandleKeys:
    """The keys of candles that are not as expected in at least one of the frames."""
    wrong = pl.col("verdict").is_in(WRONG)
    return pl.concat([f.filter(wrong).select(EXPECTED_KEY) for f in verdicts]).unique()


@dataclass(slots=True)
class Tally:
    """Counts of verdicts by interval, and the first few candles of each verdict but `equal`."""

    max_examples: int = 5
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, verdicts: Verdicts) -> None:
        """Count the verdicts."""
        for interval, verdict, count in verdicts.group_by("interval", "verdict").len().iter_rows():
            self.counts[interval, verdict] = self.counts.get((interval, verdict), 0) + count
        wrong = verdicts.filter(pl.col("verdict").is_in(WRONG))
        for (verdict,), rows in wrong.group_by("verdict"):
            examples = self.examples.setdefault(str(verdict), [])
            room = self.max_examples - len(examples)
            examples += rows.sort(EXPECTED_KEY).head(room).to_dicts()

    def count(self, verdict: str) -> int:
        """The number of candles with a verdict, over all intervals."""
        return sum(count for (_, name), count in self.counts.items() if name == verdict)

    @property
    def wrong(self) -> int:
        """The number of candles that are not as expected."""
        return sum(self.count(verdict) for verdict in WRONG)
