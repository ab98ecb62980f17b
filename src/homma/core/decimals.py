"""Exact decimals: the sizes of trades, and what is summed over trades. Pure.

A decimal is an integer number of 10^-12. Sums are sums of integers, so they do not depend on the
order of the trades. polars does not notice when a sum of a group leaves the type's range, so all
values stay below `BOUND`, and whoever adds values checks the result first: see
`core/traded_sums.py`.
"""

import math
import re
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Final

import polars as pl

#: The type of a decimal in frames.
DECIMAL: Final[pl.DataType] = pl.Decimal(38, 12)
#: The digits of a decimal after the point.
FRACTION_DIGITS: Final = 12
#: The magnitude that a product and a sum stay below.
BOUND: Final = Decimal(10) ** 26
#: The magnitude that the price of a trade stays below.
PRICE_BOUND: Final = 1e12

_SIZE_PATTERN: Final = r"^(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?$"
_SUM_PATTERN: Final = r"^-?(?:0|[1-9][0-9]{0,25})(?:\.[0-9]{1,12})?$"
_WHOLE_DIGITS: Final = 18
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,9})?")
_UNIT: Final = Decimal(1).scaleb(-FRACTION_DIGITS)
# A product of the shortest decimal of a double and a size has at most 17 + 30 digits.
_EXACT: Final = Context(prec=64, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX)

# A decimal of up to 15 digits is the shortest one of the double that is nearest to it.
_SHORTEST: Final = 1e15
# Its product with so many units is below 2^127.
_UNITS: Final = 10**23
_PLAIN_PRICE: Final = r"^-?[0-9]{1,12}\.[0-9]{1,17}$"
#: By prices and sizes in units: the digits of the prices, and where they are exact.
_DigitsOf = Callable[[pl.Series, pl.Series], tuple[pl.Series, pl.Series]]


def parse_sizes(texts: pl.Series) -> pl.Series:
    """The decimals of texts of JSON numbers; null if a text is not a valid size.

    A size is not negative and has up to 18 digits before the point and 12 after it. Zeros at the
    end do not count.
    """
    is_plain = texts.str.contains(_SIZE_PATTERN)
    if is_plain.all():
        return texts.cast(DECIMAL)
    rare = texts.filter(~is_plain)
    exact = pl.Series([_size(text) for text in rare.to_list()], dtype=DECIMAL)
    return (
        texts.set(~is_plain.fill_null(value=True), None)
        .cast(DECIMAL)
        .scatter((~is_plain).arg_true(), exact)
    )


def _size(text: str) -> Decimal | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    if not value:
        return Decimal(0)
    digits = "".join(map(str, value.as_tuple().digits))
    significant = digits.rstrip("0")
    exponent = int(value.as_tuple().exponent) + len(digits) - len(significant)
    fits = exponent >= -FRACTION_DIGITS and value.adjusted() < _WHOLE_DIGITS
    return Decimal(f"{significant}e{exponent}") if fits and value > 0 else None


def parse_sums(texts: pl.Series) -> pl.Series:
    """The decimals of texts as `text` writes them; null if a text is none, or beyond BOUND."""
    is_plain = texts.str.contains(_SUM_PATTERN)
    return texts.set(~is_plain.fill_null(value=True), None).cast(DECIMAL)


def products(prices: pl.Series, sizes: pl.Series) -> pl.Series:
    """Price times size, rounded half to even; null if a factor is null or the product beyond BOUND.

    A price counts as the shortest decimal that is read as its double, so 0.1 is exactly one tenth.
    """
    units = sizes.to_physical()
    # Nearly always true of all trades, and then they need not be told apart.
    digits_of, scale = _WAYS[0]
    digits, fits = digits_of(prices, units)
    if fits.null_count() == 0 and fits.all():
        return _rounded(digits * units, scale).reinterpret(dtype=DECIMAL)
    result = pl.Series([None], dtype=pl.Int128).new_from_index(0, prices.len())
    rows = (prices.is_not_null() & sizes.is_not_null()).arg_true()
    for digits_of, scale in _WAYS:
        digits, fits = digits_of(prices.gather(rows), units.gather(rows))
        done = rows.filter(fits)
        rounded = _rounded(digits.filter(fits) * units.gather(done), scale)
        result = result.scatter(done, rounded)
        rows = rows.filter(~fits)
        if rows.is_empty():
            return result.reinterpret(dtype=DECIMAL)
    pairs = zip(prices.gather(rows), sizes.gather(rows), strict=True)
    exact = pl.Series([_product(price, size) for price, size in pairs], dtype=DECIMAL)
    return result.reinterpret(dtype=DECIMAL).scatter(rows, exact)


def half_sums(left: pl.Series, right: pl.Series) -> pl.Series:
    """Half the sum of prices, as the nearest double of the exact decimal; null if one is null.

    The double of (1.02068 + 1.02069) / 2 may not be 1.020685, and nobody quoted the other one.
    """
    none = pl.zeros(left.len(), dtype=pl.Int128, eager=True)
    left_digits, left_fits = _short_digits(8, left, none)
    right_digits, right_fits = _short_digits(8, right, none)
    # Both are exact integers, and so is their sum, so the quotient is the nearest double.
    sums = (left_digits + right_digits).cast(pl.Float64)
    halves = sums / pl.repeat(2e8, left.len(), eager=True)
    is_there = left.is_not_null() & right.is_not_null()
    rest = (is_there & ~(left_fits & right_fits).fill_null(value=False)).arg_true()
    pairs = zip(left.gather(rest), right.gather(rest), strict=True)
    exact = [_half_sum(*pair) for pair in pairs]
    return halves.set(~is_there, None).scatter(rest, pl.Series(exact, dtype=pl.Float64))


def _half_sum(left: float, right: float) -> float | None:
    if not (math.isfinite(left) and math.isfinite(right)):
        return None
    return float((Fraction(repr(left)) + Fraction(repr(right))) / 2)


def _short_digits(scale: int, prices: pl.Series, units: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The shortest decimals of prices in 10^-scale, and where they have so few digits."""
    # A column, because polars divides by a constant inexactly.
    power = pl.repeat(10.0**scale, prices.len(), eager=True)
    digits = (prices * power).round()
    fits = (digits / power == prices) & (digits.abs() < _SHORTEST) & (units < _UNITS)
    return digits.set(~fits, 0.0).cast(pl.Int128), fits


def _long_digits(prices: pl.Series, units: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The shortest decimals of prices in 10^-17, and where that is exact."""
    texts = prices.cast(pl.String)
    magnitude = prices.abs() * 1e17 * units.cast(pl.Float64).clip(lower_bound=1.0)
    fits = texts.str.contains(_PLAIN_PRICE) & (magnitude < 1e38)
    return texts.set(~fits, "0").cast(pl.Decimal(38, 17)).to_physical(), fits


#: Ways to get the digits of a price: those of usual prices first, then those of any others.
_WAYS: Final[tuple[tuple[_DigitsOf, int], ...]] = (
    (partial(_short_digits, 8), 8),
    (_long_digits, 17),
)


def _rounded(products: pl.Series, scale: int) -> pl.Series:
    """Integers divided by 10^scale, rounded half to even."""
    ten = pl.lit(10**scale, pl.Int128)
    half = pl.lit(10**scale // 2, pl.Int128)
    magnitude, quotient, rest = pl.col("magnitude"), pl.col("quotient"), pl.col("rest")
    is_up = (rest > half) | ((rest == half) & (quotient % 2 == 1))
    # Step by step, because polars computes an expression again wherever it stands.
    return (
        products.alias("product")
        .to_frame()
        .with_columns(magnitude=pl.col("product").abs())
        .with_columns(quotient=magnitude // ten)
        .with_columns(rest=magnitude - quotient * ten)
        .select((quotient + is_up.cast(pl.Int128)) * pl.col("product").sign())
        .to_series()
    )


def _product(price: float, size: Decimal) -> Decimal | None:
    if not abs(price) < PRICE_BOUND:
        return None
    product = _EXACT.multiply(Decimal(repr(price)), size).quantize(_UNIT, context=_EXACT)
    # Not by its magnitude, which Python rounds.
    return product if -BOUND < product < BOUND else None


def text(value: pl.Expr) -> pl.Expr:
    """The shortest text of a decimal: without an exponent, and without zeros at the end."""
    return value.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


def plain_text(value: Decimal) -> str:
    """As `text`, of one decimal."""
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
