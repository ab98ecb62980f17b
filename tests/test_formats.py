"""The current format follows from the table of fields."""

import runpy
from dataclasses import replace

import pytest

from homma import formats
from homma.core import fields


@pytest.mark.parametrize("table", ["TICK_FIELDS", "CANDLE_FIELDS"])
def test_a_newer_field_raises_the_current_version(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    *older, last = getattr(fields, table)
    newer = replace(last, since=formats.CURRENT + 1)
    monkeypatch.setattr(fields, table, (*older, newer))
    assert runpy.run_path(formats.__file__)["CURRENT"] == formats.CURRENT + 1
