"""The sources and instruments of the synthetic market, as a Faker provider."""

from dataclasses import dataclass
from typing import Final, Literal

from faker import Faker
from faker.providers import BaseProvider

Kind = Literal["crypto", "fx", "share"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """A synthetic instrument.

    `level` is the price near which the random walk starts, `volatility` the standard deviation of
    a year's return, and `spread` the smallest difference of ask and bid, in the last decimal.
    """

    symbol: str
    kind: Kind
    level: float
    decimals: int
    volatility: float
    spread: int


def _crypto(symbol: str, level: float, decimals: int, volatility: float) -> Instrument:
    return Instrument(symbol, "crypto", level, decimals, volatility, spread=1)


def _fx(symbol: str, level: float, spread: int, decimals: int = 5) -> Instrument:
    return Instrument(symbol, "fx", level, decimals, volatility=0.08, spread=spread)


CRYPTO: Final = (
    _crypto("BNBUSD", 627.0, 2, 0.60),
    _crypto("BTCUSD", 84_200.0, 2, 0.50),
    _crypto("ETHUSD", 1_980.0, 2, 0.70),
    _crypto("SOLUSD", 129.0, 3, 0.90),
    _crypto("XRPUSD", 2.41, 4, 0.90),
    _crypto("LTCUSD", 92.0, 2, 0.75),
    _crypto("ADAUSD", 0.71, 5, 0.95),
    _crypto("DOGEUSD", 0.169, 5, 1.10),
)
FX: Final = (
    _fx("EURUSD", 1.0835, 2),
    _fx("USDJPY", 148.9, 2, decimals=3),
    _fx("GBPUSD", 1.2970, 4),
    _fx("USDCHF", 0.8820, 5),
    _fx("AUDUSD", 0.6300, 4),
    _fx("USDCAD", 1.4330, 5),
    _fx("NZDUSD", 0.5760, 6),
    _fx("EURGBP", 0.8360, 4),
    _fx("EURJPY", 161.4, 6, decimals=3),
    _fx("EURCHF", 0.9560, 6),
)


class MarketProvider(BaseProvider):
    """Adds `fake.tick_sources(2)` and `fake.instruments(10)` to Faker."""

    def tick_sources(self, count: int) -> list[str]:
        """Source names, the same for every seed."""
        return [f"SOURCE_{i}" for i in range(1, count + 1)]

    def share(self) -> Instrument:
        """A share whose ticker is derived from a company name."""
        letters = [c for c in str(self.generator.company()).upper() if "A" <= c <= "Z"]
        length = self.random_int(3, 4)
        # Most prices are between 10 and 400.
        level = round(min(5_000.0, max(2.0, self.generator.random.lognormvariate(4.2, 0.9))), 2)
        return Instrument(
            symbol=letters[0]
            + "".join(self.random_elements(letters[1:], length - 1, unique=False)),
            kind="share",
            level=level,
            decimals=2,
            volatility=self.random_int(15, 60) / 100,
            spread=1 + int(level / 150),
        )

    def instruments(self, count: int) -> list[Instrument]:
        """Unique instruments: crypto, FX and shares in turn, then only shares."""
        chosen: dict[str, Instrument] = {}
        known = [list(reversed(CRYPTO)), list(reversed(FX))]
        while len(chosen) < count:
            turn = len(chosen) % 3
            instrument = known[turn].pop() if turn < 2 and known[turn] else self.share()
            if len(chosen) > 3_000 and instrument.symbol in chosen:
                # There are not enough short tickers.
                instrument = self._longer(instrument)
            chosen.setdefault(instrument.symbol, instrument)
        return list(chosen.values())

    def _longer(self, share: Instrument) -> Instrument:
        suffix = self.lexify("????", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        return Instrument(
            f"{share.symbol}.{suffix}",
            share.kind,
            share.level,
            share.decimals,
            share.volatility,
            share.spread,
        )


def market(seed: str, sources: int, symbols: int) -> tuple[list[str], list[Instrument]]:
    """The source names and instruments for a seed."""
    fake = Faker("en_US")
    fake.seed_instance(seed)
    provider = MarketProvider(fake)
    return provider.tick_sources(sources), provider.instruments(symbols)
