"""The comparison of two clocks. tests/faults/test_clocks.py sets a real clock back."""

import pytest

from homma.cli.clock import ClockComparison


@pytest.mark.parametrize(
    ("wall_s", "back_s"), [(1001, 0), (1001.5, -0.5), (4601, -3600), (991, 10)]
)
def test_a_set_back_clock_is_measured_against_the_monotonic_clock(
    wall_s: float, back_s: float
) -> None:
    clock = ClockComparison(wall_s=1000, monotonic_s=5)
    assert clock.set_back_s(wall_s, 6) == back_s
    # It is reported only once.
    assert clock.set_back_s(wall_s + 1, 7) == 0
