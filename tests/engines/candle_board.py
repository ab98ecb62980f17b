"""The dashboard of candles over the lake of these tests."""

from datetime import timedelta

from tests.engines.market import DAYS, START
from tests.support.dashboards import Json, dashboard, interval_links, panel_queries

END = START + timedelta(days=DAYS)
BOARD = dashboard("candles")
HEADER, CANDLES, NEWEST, BY_SOURCE, DIVERGENCE = panel_queries("candles")
#: A price, its change and so on, as the rounded values of SQL.
CLOSE_TO = 1e-7


def board_of(name: str) -> Json:
    """The dashboard after a click on the link of an interval."""
    [link] = [link for link in interval_links().values() if link["var-interval"] == name]
    return BOARD | {"time": {"from": link["from"], "to": link["to"]}}
