"""The recipe for a field: its row, the specification, a golden case and the records of tests."""

from homma.formats import CURRENT
from tests.recipes.golden_case import golden_case
from tests.recipes.recipe import creating, follow, replacing
from tests.support.homma_copy import NEW_FIELD, HommaCopy

[(BEFORE, ROW)] = NEW_FIELD.items()
ORACLE = '        "tickCount": len(ticks),\n'
GOLDEN = '    candle.setdefault("tickCount", candle["volume"])\n'
SECOND = '    candle.setdefault("ticks2", candle["tickCount"])\n'
ATTRIBUTE = '    tick_count = _Value[int]("tick_count")\n'
RECORD = '    "tickCount": 9007199254740992,\n'
STRATEGY = '        "tickCount": st.integers(1, 2**63 - 1),\n'
EDITS = {
    "src/homma/core/fields.py": replacing((BEFORE, ROW + BEFORE)),
    "src/homma/topics/candle.py": replacing(
        (ATTRIBUTE, ATTRIBUTE + ATTRIBUTE.replace("tick_count", "ticks2"))
    ),
    "tests/support/oracle.py": replacing((ORACLE, ORACLE + ORACLE.replace("tickCount", "ticks2"))),
    "tests/support/golden.py": replacing((GOLDEN, GOLDEN + SECOND)),
    "tests/golden/ticks2.json": creating(golden_case(ticks2=2)),
    "tests/topics/test_codec.py": replacing(
        (RECORD, RECORD + RECORD.replace("tickCount", "ticks2")),
        (STRATEGY, STRATEGY + STRATEGY.replace("tickCount", "ticks2")),
    ),
    "tests/topics/test_latest.py": replacing(("3, 2, None, True, 1)", "3, 2, 3, None, True, 1)")),
    "tests/topics/test_schemas.py": replacing(
        ('{"tickCount", "turnover"', '{"tickCount", "ticks2", "turnover"')
    ),
}


def test_a_second_count_of_ticks(project: HommaCopy) -> None:
    follow(project, "Add a field", EDITS, subject="ticks2")
    # The test of real candles needs a broker of its own: test_engine.py has one with the field.
    changed = [path for path in EDITS if path.startswith("tests/topics")]
    project.passes("tests/core/test_golden.py", *changed, "-k", "not candles_of_the_engine")
    assert f"1 to {CURRENT + 1}" in project.homma("aggregate", "--help")
