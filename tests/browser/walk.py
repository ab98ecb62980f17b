"""Ticks of a random but reproducible market, which the page shows in tests."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from tests.support.pipeline import tick

#: The last tick of the history.
END: Final = datetime(2025, 3, 20, 14, 31, 28)
HOURS: Final = 11
EVERY_S: Final = 5
#: Number of m1 candles; the first and the last have less than a minute of ticks.
MINUTES: Final = HOURS * 60 + 1
SERIES: Final = {
    ("SOURCE_1", "BNBUSD"): (627.05, 2),
    ("SOURCE_2", "BNBUSD"): (627.21, 2),
    ("SOURCE_3", "BNBUSD"): (626.80, 2),
    ("SOURCE_1", "BTCUSD"): (84_200.0, 1),
    ("SOURCE_1", "EURUSD"): (1.0835, 5),
    ("SOURCE_2", "EURUSD"): (1.0836, 5),
    ("SOURCE_1", "USDJPY"): (148.9, 3),
    ("SOURCE_2", "GBPUSD"): (1.2970, 5),
}
#: The numbers of the tests' own ticks start here.
NUMBER: Final = 1_000_000


def at(instant: datetime) -> str:
    """An instant in the format of ticks."""
    return instant.isoformat(timespec="milliseconds")


def history() -> Iterator[dict[str, Any]]:
    """Ticks of several hours in event time order; all sources of a symbol move together."""
    chance = random.Random(1697)
    steps = HOURS * 3600 // EVERY_S
    moves = {symbol: 0.0 for _, symbol in SERIES}
    for step in range(steps):
        when = END - timedelta(seconds=(steps - 1 - step) * EVERY_S)
        for symbol, move in moves.items():
            moves[symbol] = move * 0.99996 + chance.gauss(0.0, 0.00016)
        for (source, symbol), (level, decimals) in SERIES.items():
            # Ticks are left out at random, but never the first of a minute: no candle is missing.
            if when.second >= EVERY_S and step and chance.random() < abs(moves[symbol]) * 20:
                continue
            price = level * (1 + moves[symbol] + chance.gauss(0.0, 0.00004))
            yield tick(at(when), round(price, decimals), step, symbol, source)
