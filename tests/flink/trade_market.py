"""Trades as texts of JSON, with every form of a price and of a size, late ticks and quotes."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from tests.flink.flinks import Record
from tests.support.frames import us

START = datetime(2025, 3, 21, 22, 0)
SYMBOLS = ("AAA", "BBB", "CCC")


def market(seed: int, count: int, source: str) -> list[Record]:
    """`count` records in order of arrival; some are invalid, and some are not applicable."""
    chance = random.Random(seed)
    return [
        (None, value.encode(), us(at + timedelta(seconds=1)) // 1000)
        for value, at in _values(chance, count, source)
    ]


def _values(chance: random.Random, count: int, source: str) -> Iterator[tuple[str, datetime]]:
    for number in range(count):
        late = timedelta(minutes=20) if chance.random() < 0.01 else timedelta()
        at = START + timedelta(seconds=4 * number - chance.randrange(120)) - late
        fields = {
            "source": f'"{source}"',
            "symbol": f'"{chance.choice(SYMBOLS)}"',
            **_prices(chance),
            "number": str(number),
            "dateTime": f'"{at.isoformat(timespec="milliseconds")}"',
        }
        value = "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
        copies = 2 if chance.random() < 0.03 else 1
        yield from [(value, START + timedelta(seconds=4 * number))] * copies


def _prices(chance: random.Random) -> dict[str, str]:
    trade = {"price": _price(chance), "size": _size(chance), "side": '"sell"'}
    quote = {"ask": "3.5", "bid": "1.5", "mid": "2.5"}
    kind = chance.random()
    if kind < 0.1:
        return quote
    if kind < 0.2:
        return quote | trade
    return trade


def _price(chance: random.Random) -> str:
    form = chance.randrange(8)
    if form == 0:
        return repr(chance.random() * 10.0 ** chance.randint(-20, 6))
    if form == 1:
        return f"{chance.randrange(1, 10_000)}e{chance.randint(-9, 3)}"
    if form == 2:
        # More digits than the shortest decimal of the double.
        return f"0.{chance.randrange(1, 10**30):030}"
    if form == 3:
        return f"{chance.randrange(1, 1_000)}.5"
    return f"{chance.randrange(1, 10**6)}.{chance.randrange(10**4):04}"


def _size(chance: random.Random) -> str:
    units = chance.randrange(10 ** chance.randint(1, 18))
    plain = f"{Decimal(units).scaleb(-12):f}"
    forms = (
        plain,
        plain,
        plain,
        # Zeros at the end do not count.
        f"{Decimal(units).scaleb(-6):f}000000000",
        # One digit too many.
        f"{Decimal(units * 10 + 1).scaleb(-13):f}",
        # With an odd number of units and half a price, the product ends between two units.
        f"{Decimal(2 * chance.randrange(50) + 1).scaleb(-12):f}",
        f"{Decimal(units).scaleb(-chance.randint(0, 12)):e}",
        f'"{units}.50"',
        "null",
    )
    return chance.choice(forms)
