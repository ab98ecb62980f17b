"""SQL for trades: exact sizes and turnovers, and sums that stay below their bound. Pure.

Flink's DECIMAL has 38 digits, a price times a size up to 47. The price's digits, a whole number,
are multiplied by the two halves of the size, and the result is a text of digits: its point is set
by an exponent, and a cast rounds it. Flink computes an expression again in each place that uses it.
A subquery of its own (`UNNEST`) would avoid that, but Flink would run it once for each interval.
"""

from typing import Final

from homma.flink.sql_types import FLINK_TYPES

#: The type of a size. A product and a sum have the same scale and are below 10^26.
SIZE: Final = "DECIMAL(30, 12)"
SUM: Final = FLINK_TYPES["decimal"]
# Totals of doubles: a little less than 10^26, because they are rounded.
_BOUND: Final = "9.9999999999999995E25"
# A double below it is that of a product below the bound.
_SURE: Final = "9E25"

_NUMBER: Final = r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?"
_PLAIN: Final = r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12}0*)?"
_ZERO: Final = r"-?0(?:\.0+)?(?:[eE][+-]?[0-9]{1,9})?"


def _matches(column: str, pattern: str) -> str:
    return rf"REGEXP({column}, '^{pattern}\z')"


def is_size(column: str) -> str:
    """Whether a text is a size: at most 18 digits before the point and 12 after it, by value."""
    exponent = f"UPPER({column})"
    mantissa = f"SPLIT_INDEX({exponent}, 'E', 0)"
    digits = f"TRIM(TRAILING '0' FROM REPLACE({mantissa}, '.', ''))"
    # The power of ten of the last digit that is not zero.
    last = (
        f"CHAR_LENGTH(SPLIT_INDEX({mantissa}, '.', 0)) - CHAR_LENGTH({digits})"
        f" + COALESCE(CAST(SPLIT_INDEX({exponent}, 'E', 1) AS INT), 0)"
    )
    with_exponent = (
        f"{_matches(column, _NUMBER)} AND {last} >= -12 AND TRY_CAST({column} AS {SIZE}) >= 0"
    )
    return f"{_matches(column, _PLAIN)} OR {_matches(column, _ZERO)} OR ({with_exponent})"


def has_turnover(price: str, size: str) -> str:
    """Whether the product of a valid price and a valid size is below the bound."""
    exact = f"{_rounded('', _product(price, size), _digits(price))} IS NOT NULL"
    return f"CASE WHEN {_approximate(price, size)} < {_SURE} THEN TRUE ELSE {exact} END"


def columns(price: str, size: str) -> dict[str, str]:
    """What is summed over the trades of a candle."""
    return {"traded_volume": f"CAST({_size(size)} AS {SUM})", "turnover": _turnover(price, size)}


def running_totals(price: str, size: str, window: str) -> str:
    """The totals of all trades of a series so far, as doubles, which do not overflow."""
    return (
        f"SUM({_double(size)}) OVER {window} AS `size_total`,\n"
        f"  SUM({_approximate(price, size)}) OVER {window} AS `turnover_total`"
    )


def are_below_bound() -> str:
    """Whether no sum of a candle can have reached the bound."""
    return f"`size_total` < {_BOUND} AND `turnover_total` < {_BOUND}"


def _double(size: str) -> str:
    return f"TRY_CAST(COALESCE({size}, '1') AS DOUBLE)"


def _approximate(price: str, size: str) -> str:
    """The magnitude of a product as a double."""
    return f"ABS({price}) * {_double(size)}"


def text(column: str) -> str:
    """The shortest text of a decimal with a scale of 12."""
    return rf"REGEXP_REPLACE(CAST({column} AS STRING), '\.?0+$', '')"


def _text_of(price: str) -> str:
    """Java's text of a double: its shortest decimal, with an exponent if it is large or small."""
    return f"CAST(ABS({price}) AS STRING)"


def _mantissa(price: str) -> str:
    digits = f"REPLACE(SPLIT_INDEX({_text_of(price)}, 'E', 0), '.', '')"
    return f"CAST({digits} AS DECIMAL(18, 0))"


def _digits(price: str) -> str:
    """The number of the mantissa's digits after the point; negative for large prices."""
    decimal, exponent = (f"SPLIT_INDEX({_text_of(price)}, 'E', {i})" for i in (0, 1))
    fraction = f"CHAR_LENGTH(SPLIT_INDEX({decimal}, '.', 1))"
    return f"({fraction} - COALESCE(CAST({exponent} AS INT), 0))"


def _size(size: str) -> str:
    return f"TRY_CAST(COALESCE({size}, '1') AS {SIZE})"


def _whole(size: str) -> str:
    return f"CAST(SPLIT_INDEX(CAST({_size(size)} AS STRING), '.', 0) AS DECIMAL(18, 0))"


def _fraction(size: str) -> str:
    return f"CAST(SPLIT_INDEX(CAST({_size(size)} AS STRING), '.', 1) AS DECIMAL(12, 0))"


def _product(price: str, size: str) -> str:
    """The digits of a product, of which 12 and those of the price are after the point."""
    low = f"LPAD(CAST({_mantissa(price)} * {_fraction(size)} AS STRING), 30, '0')"
    high = f"{_mantissa(price)} * {_whole(size)} + CAST(LEFT({low}, 18) AS DECIMAL(18, 0))"
    # With a zero in front, there is a digit before the ones that are rounded.
    return f"'0' || CAST({high} AS STRING) || RIGHT({low}, 12)"


def _rounded(sign: str, product: str, digits: str) -> str:
    """A product rounded half up, by magnitude; null if it is beyond the bound."""
    return f"TRY_CAST({sign}{product} || 'E-' || CAST({digits} + 12 AS STRING) AS {SUM})"


def _turnover(price: str, size: str) -> str:
    """A product rounded half to even; the cast rounds half up."""
    product, digits = _product(price, size), _digits(price)
    sign = f"CASE WHEN {price} < 0 THEN '-' ELSE '' END || "
    head = f"LEFT({product}, CHAR_LENGTH({product}) - {digits})"
    is_tie = f"{digits} > 0 AND RIGHT({product}, {digits}) = RPAD('5', {digits}, '0')"
    is_even = f"MOD(CAST(RIGHT({head}, 1) AS INT), 2) = 0"
    cut = f"TRY_CAST({sign}{head} || 'E-12' AS {SUM})"
    return (
        f"CASE WHEN {is_tie} AND {is_even}\n  THEN {cut}\n"
        f"  ELSE {_rounded(sign, product, digits)} END"
    )
