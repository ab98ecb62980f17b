"""A field added to a copy of core/fields.py is in every rendered file that lists fields."""

import json

import pytest

from tests.support.homma_copy import copy_homma

#: A row of each table, added before another row.
ROWS = {
    '    CandleField(\n        "openDateTime",': """\
    CandleField(
        "peakPrice",
        "peak_price",
        "double",
        False,
        "The highest price again.",
        "price",
        "max",
        "price",
        in_every_record=False,
        since=3,
        public=True,
    ),
""",
    '    TickField(\n        "isTradable",': """\
    _markup("midMarkup", "mid_markup", "markup on the mid price; 0 if absent"),
""",
}
#: Each new name, and an existing field whose files must have it too.
LIKE = {
    "peakPrice": "tickCount",
    "peak_price": "tick_count",
    "midMarkup": "askMarkup",
    "mid_markup": "ask_markup",
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files that a copy of the source with the new rows renders."""
    copy = copy_homma(tmp_path_factory.mktemp("project"), ROWS)
    written = json.loads(copy.homma("render", "--json"))["written"]
    return {name: (copy.root / name).read_text("utf-8") for name in written}


@pytest.mark.parametrize("name", LIKE)
def test_files_that_have_a_field_have_the_new_one(rendered: dict[str, str], name: str) -> None:
    files = {path for path, text in rendered.items() if LIKE[name] in text}
    assert len(files) >= 3
    assert {path for path in files if name not in rendered[path]} == set()


def test_the_new_field_is_read_computed_and_written(rendered: dict[str, str]) -> None:
    flink = rendered["deploy/flink/candles.sql"]
    for part in (
        "`midMarkup` STRING",
        "(`midMarkup` IS NULL OR",
        "CAST(`midMarkup` AS DOUBLE)",
        "`peakPrice` DOUBLE",
        "MAX(`price`) AS `peakPrice`",
        "MAX(`peakPrice`) AS `peakPrice`",
    ):
        assert part in flink
    assert "MAX(`mid`) AS `peakPrice`" in rendered["ksqldb/create-entities.sql"]
    views = rendered["deploy/trino/views.sql"]
    assert "try_cast(peak_price AS double) AS peak_price" in views
    assert "coalesce(try_cast(mid_markup AS double), 0e0) AS mid_markup" in views
    assert "'name': 'peak_price', 'json': 'peakPrice'" in rendered["deploy/dbt/macros/fields.sql"]
    assert "{'name': 'mid_markup', " in rendered["deploy/dbt/macros/fields.sql"]
    assert "The highest price again." in rendered["deploy/dbt/models/sources.yml"]
