"""The measurements and the schedule of the soak, without a broker."""

from itertools import islice
from math import inf

from tests.faults.recovery import pauses, recoveries
from tests.faults.schedule import SHARES, SHORT, schedule, with_pauses
from tests.support.engines import flow


def test_a_seed_gives_the_same_faults_and_ticks_again() -> None:
    first, again, other = (list(islice(schedule(seed), 200)) for seed in ("4/1", "4/1", "4/2"))
    assert first == again != other
    assert {fault.kind for fault in first} == set(SHARES)

    def ticks(seed: str) -> list[object]:
        return list(
            islice(with_pauses(flow(seed, 3), seed, SHORT.allowed_lateness, every=50), 2_000)
        )

    assert ticks("4/1") == ticks("4/1") != ticks("4/2")


def test_a_pause_lasts_from_the_old_owners_last_commit_to_the_new_ones_first() -> None:
    advances = [[1.0, 2.0, 7.5, 8.0], [1.0, 2.0, 2.5, 8.0]]
    taken_over = [(0, 0.5, 0), (1, 0.5, 0), (0, 7.0, 1), (1, 2.2, 0)]
    assert pauses(taken_over, advances, outages=[]) == [5.5]
    assert pauses(taken_over, advances, outages=[3.0]) == []
    # Taken over again before anything was committed: still one pause.
    assert pauses([*taken_over, (0, 7.2, 2)], advances, outages=[]) == [5.5]


def test_a_group_has_recovered_when_every_partition_has_advanced() -> None:
    advances = [[1.0, 4.0, 9.0], [1.0, 6.0]]
    assert recoveries([2.0], advances) == [4.0]
    # If another fault happened before that, only the last of them counts.
    assert recoveries([2.0, 5.0], advances) == [4.0]
    assert recoveries([7.0], advances) == [inf]
