"""When the markets of the synthetic instruments trade, and how busy they are. Pure, UTC.

The hours are those of winter, all year. Holidays are not considered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from homma.core.interval import DAY_US, MINUTE_US, MONDAY_US
from homma.feed.instruments import Kind

#: The activity is the same for half an hour.
HALF_HOUR_US: Final = 30 * MINUTE_US
_WEEK_US: Final = 7 * DAY_US


@dataclass(frozen=True, slots=True)
class MarketHours:
    """The sessions of a market.

    `half_hours` is the activity in each half-hour of a day: 1 on average while the market is open,
    0 while it is closed. `weekend` is the first hour and the end of the weekend, in hours from the
    start of Monday.
    """

    half_hours: tuple[float, ...]
    weekend: tuple[int, int] | None

    def activity(self, at_us: pl.Expr) -> pl.Expr:
        """The activity at an instant, 0 if the market is closed."""
        by_time = pl.lit(pl.Series(self.half_hours)).gather(at_us % DAY_US // HALF_HOUR_US)
        if self.weekend is None:
            return by_time
        hour = (at_us + MONDAY_US) % _WEEK_US // (2 * HALF_HOUR_US)
        is_weekend = hour.is_between(*self.weekend, closed="left")
        return pl.when(is_weekend).then(0.0).otherwise(by_time)


def _market(half_hours: tuple[float, ...], weekend: tuple[int, int] | None) -> MarketHours:
    mean = sum(half_hours) / sum(1 for weight in half_hours if weight)
    return MarketHours(tuple(weight / mean for weight in half_hours), weekend)


def _hourly(*weights: float) -> tuple[float, ...]:
    return tuple(weight for weight in weights for _ in range(2))


# Busy when London and New York open, and busiest while both are open.
_FX_DAY: Final = _hourly(
    *(0.5, 0.6, 0.5, 0.4, 0.4, 0.5, 0.8, 1.3, 1.6, 1.3, 1.1, 1.1),
    *(1.3, 2.0, 2.2, 1.9, 1.5, 1.0, 0.8, 0.7, 0.6, 0.4, 0.3, 0.4),
)
_CRYPTO_DAY: Final = _hourly(
    *(1.1, 1.0, 0.9, 0.8, 0.7, 0.7, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9),
    *(1.0, 1.2, 1.5, 1.6, 1.5, 1.3, 1.1, 1.0, 1.0, 0.9, 0.8, 0.9),
)
# New York, from 9:30 to 16:00: busiest after the open and before the close.
_SHARE_SESSION: Final = (2.4, 1.5, 1.2, 0.9, 0.8, 0.7, 0.6, 0.6, 0.6, 0.7, 0.8, 1.0, 2.2)
_SHARE_DAY: Final = (*(0.0,) * 29, *_SHARE_SESSION, *(0.0,) * 6)

#: FX trades from Sunday, 22:00, to Friday, 22:00.
MARKETS: Final[Mapping[Kind, MarketHours]] = {
    "crypto": _market(_CRYPTO_DAY, None),
    "fx": _market(_FX_DAY, (4 * 24 + 22, 6 * 24 + 22)),
    "share": _market(_SHARE_DAY, (5 * 24, 7 * 24)),
}
