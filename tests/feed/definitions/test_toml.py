"""Feed definitions in TOML: what they may say, and one sentence for what they may not."""

import re

import pytest

from homma.errors import SettingError
from homma.feed.definitions.catalog import find, of_file, shipped
from homma.feed.definitions.definition import FieldOrigin
from homma.feed.definitions.toml import read_definitions, table_text

GOOD = """\
interval = "ignored"

# Prices of a broker.
[feeds.broker]
format = "csv"
separator = ";"
source = "BROKER"
symbol = { field = "pair", replace = { "/" = "" } }
bid = { field = "Bid", decimal = ",", null = [0, "n/a"] }
ask = { field = "Ask", scale = 1e-9 }
date_time = { field = ["Date", "Time"], format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin" }

[feeds.other]
format = "json"
[feeds.other.price]
field = "p"
[feeds.other.date_time]
field = "t"
unit = "ms"
"""


def test_a_definition_is_read() -> None:
    definitions = read_definitions(GOOD, "homma.toml")
    assert list(definitions) == ["broker", "other"]
    broker = definitions["broker"]
    assert (broker.format, broker.separator) == ("csv", ";")
    assert broker.fields["source"] == FieldOrigin(constant="BROKER")
    assert broker.fields["bid"] == FieldOrigin(("Bid",), decimal=",", nulls=("0", "n/a"))
    assert broker.fields["ask"].scale_digits == 9
    assert broker.fields["date_time"].paths == ("Date", "Time")
    assert definitions["other"].fields["date_time"].unit == "ms"


def test_the_text_of_a_definition() -> None:
    text = table_text(GOOD, "other")
    assert text.startswith("[feeds.other]\n")
    assert "broker" not in text
    assert read_definitions(text, "x.toml") == {"other": read_definitions(GOOD, "y")["other"]}


#: A line of a definition, the line that replaces it, what the error says and its remedy.
WRONG = [
    ('format = "csv"', 'format = "xml"', "line 5: format is 'xml'", "write one of json, ndjson"),
    ('format = "csv"', "", "line 4: format is missing", "write one of json"),
    ('separator = ";"', 'separator = ";;"', "line 6: separator is not one", 'write ","'),
    ('separator = ";"', "separator = 5", "line 6: separator is not a text", "see docs/feeds.md"),
    ('separator = ";"', 'seperator = ";"', "line 6: seperator is not part", "mean separator?"),
    ('separator = ";"', 'each = "data"', "line 6: each is only of JSON", "remove it"),
    ('separator = ";"', 'where = "a ="', "line 6: where is not a condition", "double quotes"),
    ('separator = ";"', 'columns = ["pair"]', "line 10: ask is column 'Ask'", "write one of pair"),
    ('field = "Ask"', 'feld = "Ask"', "line 10: ask has feld", "did you mean field?"),
    ('field = "Ask", ', "", "line 10: ask does not say which field", "field = "),
    ("scale = 1e-9", "scale = 0.3", "line 10: ask has scale = 0.3", "a power of ten"),
    ("scale = 1e-9", 'unit = "ms"', "line 10: ask has unit, which only", "remove it"),
    ("scale = 1e-9", 'empty = "zero"', "line 10: ask has empty = 'zero'", '"unchanged"'),
    ("scale = 1e-9", 'empty = "unchanged"', "line 10: ask has empty", "as constants"),
    ('decimal = ","', 'decimal = ";"', "line 9: bid has decimal = ';'", 'write "."'),
    ("Europe/Berlin", "Europe/Berln", "line 11: date_time has zone", "did you mean Europe/Berlin?"),
    ("%d.%m.%Y %H:%M:%S", "%d %Q", "line 11: date_time has format", "%d.%m.%Y"),
    ('zone = "Europe/Berlin"', 'unit = "ms"', "line 11: date_time has both", "for numbers only"),
    ('zone = "Europe/Berlin"', 'unit = "h"', "line 11: date_time has unit = 'h'", "s, ms, us"),
    ('["Date", "Time"]', "7", "line 11: date_time does not say which", "field = "),
    ('source = "BROKER"', "source = [1]", "line 7: source is neither", "field = "),
    ('unit = "ms"', 'unit = "mile"', "line 17: date_time has unit = 'mile'", "s, ms, us"),
]


@pytest.mark.parametrize(("line", "wrong", "problem", "remedy"), WRONG)
def test_an_error_names_the_line_and_the_remedy(
    line: str, wrong: str, problem: str, remedy: str
) -> None:
    assert line in GOOD
    with pytest.raises(SettingError) as raised:
        read_definitions(GOOD.replace(line, wrong, 1), "homma.toml")
    assert f"homma.toml, {problem}" in raised.value.problem
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[feeds.a\n", "is not valid TOML"),
        ("feeds = 5\n", "feeds is not a table"),
        ("[feeds]\na = 5\n", "a is not a table"),
        ('[feeds.a]\nformat = "json"\nprice = { field = "p" }\n', "line 1: a has no date_time"),
        ('[feeds.a]\nformat = "json"\ndate_time = { field = "t" }\n', "line 1: a has no prices"),
        ('[feeds.a]\nformat = "json"\ndate_time = "2024"\n', "line 3: date_time cannot be"),
        ('[feeds.a]\nformat = "json"\nsize = { field = ["a", "b"] }\n', "line 3: size joins"),
        ('[feeds.a]\nformat = "json"\ncolumns = ["a"]\n', "line 3: columns is only of CSV"),
    ],
)
def test_a_definition_that_lacks_something(text: str, problem: str) -> None:
    with pytest.raises(SettingError, match=re.escape(problem)):
        read_definitions(text, "f.toml")


def test_feeds_are_found_by_name_and_by_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.toml"
    path.write_text('format = "json"\nprice = { field = "p" }\ndate_time = { field = "t" }\n')
    assert find(str(path), {}).definition.name == "mine"
    assert find("truefx", {}).file == ""
    own = {"truefx": of_file(path)["mine"]}
    assert find("truefx", own).file == str(path)
    with pytest.raises(SettingError, match=r"no feed definition truefxx; did you mean truefx\?"):
        find("truefxx", {})
    with pytest.raises(SettingError, match="cannot be read"):
        find(str(tmp_path / "none.toml"), {})
    several = tmp_path / "several.toml"
    several.write_text(GOOD)
    with pytest.raises(SettingError, match="has 2 feed definitions"):
        find(str(several), {})


def test_every_shipped_definition_says_what_it_is_for() -> None:
    assert all(feed.definition.about for feed in shipped().values())
