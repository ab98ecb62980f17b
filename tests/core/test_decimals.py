"""Sizes, products and texts of decimals equal those of Python's `decimal`."""

from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homma.core.decimals import BOUND, DECIMAL, half_sums, parse_sizes, parse_sums, products, text
from tests.support import oracle
from tests.support.effort import effort

#: Prices with few digits, as markets have them, and any double.
PRICES = st.one_of(
    st.builds(
        lambda digits, places: float(f"{digits}e-{places}"),
        st.integers(-(10**12) + 1, 10**12 - 1),
        st.integers(0, 15),
    ),
    st.floats(-1e12, 1e12, exclude_min=True, exclude_max=True),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-300, 5e-13, 0.1, 0.3, 1.0206849999999998]),
)
SIZES = st.decimals(0, 10**18, places=12).filter(lambda size: size < 10**18) | st.sampled_from(
    [Decimal(0), Decimal("1e-12"), Decimal("0.5"), Decimal(10**18) - Decimal("1e-12")]
)


def decimals(values: list[Decimal | None]) -> pl.Series:
    return pl.Series(values, dtype=DECIMAL)


@effort(20)
@given(st.lists(st.tuples(PRICES, SIZES), max_size=8))
@example([(0.5, Decimal("1e-12")), (1.5, Decimal("1e-12"))])
@example([(2.5, Decimal("1e-12")), (-0.5, Decimal("3e-12"))])
@example([(1.00000000000005, Decimal("0.1"))])
def test_a_product_is_exact_and_rounded_half_to_even(pairs: list[tuple[float, Decimal]]) -> None:
    prices = pl.Series([price for price, _ in pairs], dtype=pl.Float64)
    expected = [oracle.turnover_of({"price": price, "size": size}) for price, size in pairs]
    assert products(prices, decimals([size for _, size in pairs])).to_list() == expected


def test_a_product_of_nothing_is_null() -> None:
    prices = pl.Series([1.5, None, None, 2e12], dtype=pl.Float64)
    sizes = decimals([None, Decimal(1), None, Decimal(1)])
    assert products(prices, sizes).to_list() == [None] * 4


@pytest.mark.parametrize(
    ("price", "size", "is_valid"),
    [
        (1e11, Decimal(10) ** 15 - 1, True),
        (1.0, Decimal("999999999999999999.999999999999"), True),
        (1e11, Decimal(10) ** 15 - Decimal("1e-12"), True),
        (1e11, Decimal(10) ** 15, False),
        (-1e11, Decimal(10) ** 15, False),
        (999_999_999_999.9, Decimal("999999999999999999.999999999999"), False),
    ],
)
def test_a_product_stays_below_the_bound(price: float, size: Decimal, is_valid: bool) -> None:
    [product] = products(pl.Series([price]), decimals([size]))
    assert (product is not None) is is_valid
    assert product is None or -BOUND < product < BOUND


@effort(4)
@given(st.lists(st.none() | st.decimals(-BOUND + 1, BOUND - 1, places=12), max_size=6))
def test_a_text_is_the_shortest_and_is_read_as_the_same_decimal(
    values: list[Decimal | None],
) -> None:
    frame = pl.DataFrame({"value": decimals(values)})
    texts = frame.select(text(pl.col("value"))).to_series()
    assert texts.to_list() == [None if v is None else oracle.text_of(v) for v in values]
    assert parse_sums(texts).equals(frame["value"])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1", "1"),
        ("1e3", "1000"),
        ("1E-8", "0.00000001"),
        ("0.500000000000000", "0.5"),
        ("-0", "0"),
        ("0e99", "0"),
        ("999999999999999999.999999999999", "999999999999999999.999999999999"),
        ("1e17", "100000000000000000"),
        ("1e18", None),
        ("1e-13", None),
        ("0.1234567890123", None),
        ("1e-999999999", None),
        ("1e99999999999999999999", None),
        ("-1", None),
        ("-1e-12", None),
        ("007", None),
        (".5", None),
        ("1.", None),
        ("+1", None),
        ("NaN", None),
        ("Infinity", None),
        ("1_0", None),
        (" 1", None),
        ("", None),
        ("\uff11", None),
    ],
)
def test_which_texts_are_sizes(size: str, expected: str | None) -> None:
    # Among usual texts, too.
    sizes = parse_sizes(pl.Series(["2.5", size, None]))
    assert sizes.to_list() == [
        Decimal("2.5"),
        None if expected is None else Decimal(expected),
        None,
    ]
    assert parse_sizes(pl.Series([size])).to_list() == sizes.to_list()[1:2]


@effort(4)
@given(st.lists(st.tuples(PRICES | st.none(), PRICES | st.none()), max_size=5))
@example([(1.02068, 1.02069), (1.14182, 1.14184), (1.5, None)])
def test_half_sums_are_the_nearest_doubles(pairs: list[tuple[float | None, float | None]]) -> None:
    left, right = (pl.Series([pair[i] for pair in pairs], dtype=pl.Float64) for i in (0, 1))
    assert half_sums(left, right).to_list() == [
        None if a is None or b is None else float((Fraction(repr(a)) + Fraction(repr(b))) / 2)
        for a, b in pairs
    ]
