"""The recipe for a golden case: a file that is run on the oracle and on the engine."""

from tests.recipes.golden_case import golden_case
from tests.recipes.recipe import creating, follow
from tests.support.homma_copy import HommaCopy

FILE = "tests/golden/two.json"
RUN = ("tests/core/test_golden.py", "-k", "two.json")
#: The oracle, and the engine with three sizes of batches.
RUNS = 4


def test_two_ticks(project: HommaCopy) -> None:
    follow(project, "Add a golden case", {FILE: creating(golden_case())}, subject="two")
    assert f"{RUNS} passed" in project.passes(*RUN)


def test_a_wrong_expectation_fails(project: HommaCopy) -> None:
    creating(golden_case(close=11.0))(project.root / FILE)
    assert f"{RUNS} failed" in project.pytest(*RUN).stdout
