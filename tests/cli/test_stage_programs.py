"""The flags of homma's own programs in `homma up`, and what its ticks must have."""

import pytest

from homma.cli.stage_programs import require_applicable, stages
from homma.core.tick import Price
from homma.errors import SettingError
from homma.settings import (
    GenerateSettings,
    PriceSettings,
    TickKinds,
    TopicSettings,
    UpSettings,
)


def flags_of(prices: PriceSettings) -> dict[str, tuple[str, ...]]:
    programs = stages(UpSettings(), TopicSettings(), GenerateSettings(), prices)
    return {program.name: program.flags for program in programs}


def test_the_stages_get_the_price_that_is_not_the_default() -> None:
    for flags in flags_of(PriceSettings()).values():
        assert not {"--price", "--prices"} & set(flags)
    of_trades = flags_of(PriceSettings(price="trade", prices="any"))
    both = ("--price", "trade", "--prices", "any")
    assert of_trades["aggregate"][-4:] == both
    assert set(both) <= set(of_trades["verify"])
    # What `homma land` writes does not depend on the price.
    assert of_trades["land"][-2:] == ("--prices", "any")
    assert "--price" not in of_trades["land"]
    assert not {"--price", "--prices"} & {*of_trades["serve"], *of_trades["generate"]}


@pytest.mark.parametrize(
    ("kind", "price"),
    [("quotes", "mid"), ("quotes", "bid"), ("trades", "trade"), ("both", "mid"), ("both", "trade")],
)
def test_ticks_that_have_the_price(kind: TickKinds, price: Price) -> None:
    require_applicable(UpSettings(), GenerateSettings(kind=kind), price)


def test_ticks_without_the_price_are_refused() -> None:
    for kind, price, remedy in (
        ("trades", "mid", "add --price trade, or --kind both"),
        ("quotes", "trade", "add --kind trades, or --kind both"),
    ):
        ticks = GenerateSettings(kind=kind)  # type: ignore[arg-type]
        with pytest.raises(SettingError) as raised:
            require_applicable(UpSettings(), ticks, price)  # type: ignore[arg-type]
        assert raised.value.remedy.startswith(remedy)
        # The ticks come from elsewhere.
        require_applicable(UpSettings(no_generate=True), ticks, price)  # type: ignore[arg-type]
