"""A clock that is set back, as the program sees it; the real one: tests/faults/test_clocks.py."""

import pytest

from homma.cli.clock import SetBack


@pytest.mark.parametrize(
    ("wall_s", "back_s"), [(1001, 0), (1001.5, -0.5), (4601, -3600), (991, 10)]
)
def test_it_is_measured_against_the_clock_that_only_goes_on(wall_s: float, back_s: float) -> None:
    clock = SetBack(wall_s=1000, monotonic_s=5)
    assert clock.by(wall_s, 6) == back_s
    # Once told it is over.
    assert clock.by(wall_s + 1, 7) == 0
