"""The recipe for an interval: a row, the specification and a golden case."""

from tests.recipes.golden_case import golden_case
from tests.recipes.recipe import creating, follow, replacing
from tests.support.homma_copy import HommaCopy

MINUTES = '(_fixed(f"m{n}", f"{n}min", n * MINUTE_US, str(n)) for n in '
CASE = golden_case("45min", ("m45",), dateTime="2025-03-20T14:15:00.000")


def test_an_interval_of_45_minutes(project: HommaCopy) -> None:
    edits = {
        "src/homma/core/interval.py": replacing(
            (f"{MINUTES}_OF_SIXTY)", f"{MINUTES}(*_OF_SIXTY, 45))")
        ),
        "tests/support/oracle.py": replacing(
            ('COUNTS["m"] = COUNTS["s"]', 'COUNTS["m"] = (*COUNTS["s"], 45)')
        ),
        "tests/golden/m45.json": creating(CASE),
    }
    follow(project, "Add an interval", edits, subject="m45")
    project.passes("tests/core/test_golden.py", "-k", "m45.json")
    project.passes("tests/core/test_interval_properties.py")
    project.homma("render", "--intervals", "m15,m45,D1")
    views = (project.root / "deploy" / "trino" / "views.sql").read_text("utf-8")
    assert "candle_45min" in views
