"""Row filters, and what they are in pyiceberg."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThan,
    Or,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Where:
    """A row filter; all conditions must hold. date_time in microseconds, [since_us, until_us)."""

    series: tuple[tuple[str, str], ...] = ()
    symbols: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    at_us: tuple[int, ...] = ()
    final: bool | None = None

    def instants(self, at: pl.Expr) -> pl.Expr:
        """The conditions on date_time, for an expression with its microseconds."""
        return pl.all_horizontal(
            pl.lit(value=True) if self.since_us is None else at >= self.since_us,
            pl.lit(value=True) if self.until_us is None else at < self.until_us,
            at.is_in(self.at_us) if self.at_us else pl.lit(value=True),
        )


EVERYTHING: Final = Where()


def expression(where: Where) -> BooleanExpression:
    """The filter as a pyiceberg expression."""
    conditions = [
        _compare(In, "symbol", where.symbols) if where.symbols else None,
        _series_expression(where.series) if where.series else None,
        _compare(GreaterThanOrEqual, "date_time", _instant(where.since_us)),
        _compare(LessThan, "date_time", _instant(where.until_us)),
        _compare(In, "date_time", [_instant(us) for us in where.at_us]) if where.at_us else None,
        _compare(EqualTo, "is_final", where.final),
    ]
    combined: BooleanExpression = AlwaysTrue()
    for condition in conditions:
        combined = And(combined, condition) if condition is not None else combined
    return combined


def _series_expression(series: Iterable[tuple[str, str]]) -> BooleanExpression:
    any_series: BooleanExpression = AlwaysFalse()
    for source, symbol in series:
        condition = And(_compare(EqualTo, "source", source), _compare(EqualTo, "symbol", symbol))
        any_series = Or(any_series, condition)
    return any_series


def _compare(operator: Any, column: str, value: object) -> Any:
    """A condition, or None without a value. pyiceberg's types do not accept plain values."""
    return None if value is None else operator(column, value)


def _instant(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)
