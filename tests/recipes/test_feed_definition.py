"""The recipe for a feed definition: ticks of an archive."""

from tests.recipes.recipe import creating, follow, replacing
from tests.support.homma_copy import HommaCopy

DEFINITION = """\
about = "Ticks of an archive"
format = "csv"
source = "ARCHIVE"
symbol = { field = "ticker" }
price = { field = "last" }
date_time = { field = "at" }
"""
SAMPLE = """\
SAMPLES: dict[str, tuple[str, str, tuple[str, ...], list[tuple[Any, ...]]]] = {
    "archive": (
        "archive.csv",
        "ticker,last,at\\nAB,1.5,2024-05-06 08:00:00\\n",
        ("symbol", "price"),
        [("AB", 1.5)],
    ),
"""
EDITS = {
    "src/homma/feed/definitions/shipped/archive.toml": creating(DEFINITION),
    "tests/feed/definitions/test_shipped.py": replacing(
        (
            "SAMPLES: dict[str, tuple[str, str, tuple[str, ...], list[tuple[Any, ...]]]] = {\n",
            SAMPLE,
        )
    ),
}


def test_a_definition_of_an_archive(project: HommaCopy) -> None:
    follow(project, "Add a feed definition", EDITS, feed="archive")
    project.passes("tests/feed/definitions/test_shipped.py", "-k", "archive or every")
    assert "Ticks of an archive" in project.finished("-m", "homma", "feeds").stdout
