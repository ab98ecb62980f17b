"""Which prices the ticks of the lake may have: all programs that read or write them must agree."""

from typing import Final

from homma.core.fields import Prices
from homma.errors import StateError
from homma.lake.table import Table

#: The property of the tick table with its valid prices. Without it, they are positive.
PRICES: Final = "homma.prices"


def choose_prices(ticks: Table, prices: Prices) -> None:
    """Note which prices are valid. Raises StateError if the table has ticks of other rules."""
    if _prices_of(ticks) != prices and not ticks.parts():
        ticks.set_property(PRICES, prices)
    require_prices(ticks, prices)


def require_prices(ticks: Table, prices: Prices) -> None:
    """Raise StateError if other prices are valid in the tick table."""
    of_table = _prices_of(ticks)
    if of_table != prices:
        raise StateError(
            f"the ticks in {ticks.name} have --prices {of_table}, but --prices is {prices}",
            f"set --prices {of_table}, or use other topics and another --namespace",
        )


def _prices_of(ticks: Table) -> str:
    return ticks.property(PRICES) or "positive"
