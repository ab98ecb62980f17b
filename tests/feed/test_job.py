"""The loop: pacing, limit, stopping, progress and topics, with a clock of the test's own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from homma.errors import FeedError
from homma.feed.job import SendProgress, prepare, run
from homma.feed.source import AT_ONCE_US, MOST_BEHIND_US, Pacer, Records, TickSource
from homma.settings import TopicSettings
from homma.topics.contract import TopicSpec, topics
from tests.feed.market import SECOND_US, START_US, made_up


@dataclass
class Wall:
    """A wall clock that moves when somebody sleeps."""

    now_us: int = START_US
    slept_s: list[float] = field(default_factory=list)

    def read(self) -> int:
        return self.now_us

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_us += round(seconds * SECOND_US)


@dataclass
class Broker:
    """Takes records; each costs so much time."""

    wall: Wall
    cost_us: int = 0
    sent: list[tuple[int, int]] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    unacknowledged: int = 0
    flushed: int = 0

    def send(self, topic: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        assert (topic, len(keys)) == ("T", len(values))
        self.values += values
        self.wall.now_us += self.cost_us * len(values)
        self.sent.append((self.wall.now_us, len(values)))

    def poll(self, timeout_s: float) -> None: ...

    def flush(self, timeout_s: float) -> int:
        assert timeout_s > 0
        self.flushed += 1
        return self.unacknowledged

    @property
    def waiting(self) -> int:
        return 7


@dataclass
class Finite:
    """A source of so many records, all at once."""

    left: int
    known: bool = True

    def __post_init__(self) -> None:
        self.total = self.left if self.known else None

    def take(self, now_us: int, most: int) -> Records | None:
        assert now_us >= START_US
        count = min(most, self.left)
        self.left -= count
        return Records([b"k"] * count, [b"v"] * count) if count else None


def loop(
    source: TickSource, broker: Broker, *, limit: int = 0, until_us: int = AT_ONCE_US
) -> tuple[SendProgress, list[SendProgress]]:
    seen: list[SendProgress] = []
    last = run(
        source,
        broker,
        "T",
        limit=limit,
        stop=lambda: broker.wall.now_us >= until_us,
        now_us=broker.wall.read,
        sleep=broker.wall.sleep,
        on_progress=seen.append,
    )
    return last, seen


@pytest.mark.parametrize("rate_per_s", [3, 40, 12_345, 200_000])
def test_the_rate_is_even(rate_per_s: int) -> None:
    broker = Broker(Wall())
    last, seen = loop(
        made_up(rate_per_s=rate_per_s, speed=None), broker, until_us=START_US + 10 * SECOND_US
    )
    assert last.sent == pytest.approx(10 * rate_per_s, rel=0.01, abs=1)
    # In no twentieth of a second does more than its share go out.
    assert max(count for _, count in broker.sent) <= rate_per_s / 20 + 1
    later = [progress.rate_per_s for progress in seen[1:-1]]
    assert all(rate == pytest.approx(rate_per_s, rel=0.1, abs=2) for rate in later)


def test_a_stall_is_caught_up_with_but_for_a_second() -> None:
    # The source's pace begins with the epoch.
    wall = Wall(now_us=0)
    broker, source = Broker(wall), made_up(rate_per_s=1_000, speed=1)
    loop(source, broker, until_us=SECOND_US)
    assert len(broker.values) == pytest.approx(1_000, rel=0.06)
    wall.now_us += 3_600 * SECOND_US
    loop(source, broker, until_us=wall.now_us + SECOND_US)
    # The first second, one of the hour, and the last.
    assert len(broker.values) == pytest.approx(3_000, rel=0.06)


def test_a_rate_beyond_the_broker_falls_behind_by_no_more_than_a_second() -> None:
    broker = Broker(Wall(), cost_us=1_000)
    loop(made_up(rate_per_s=5_000, speed=None), broker, until_us=START_US + 60 * SECOND_US)
    assert len(broker.values) == pytest.approx(60_000, rel=0.2)


def test_the_limit_is_kept_to_the_tick() -> None:
    broker = Broker(Wall())
    last, seen = loop(made_up(rate_per_s=70_000, speed=None), broker, limit=12_345)
    assert last.sent == len(broker.values) == 12_345
    assert {progress.total for progress in seen} == {12_345}


def test_the_end_of_the_source_ends_it_flushed() -> None:
    broker = Broker(Wall())
    last, seen = loop(Finite(25_000), broker)
    assert (last.sent, last.total, last.unacknowledged) == (25_000, 25_000, 0)
    assert len(broker.values) == 25_000
    assert broker.flushed == 1
    assert seen[-1] == last


def test_totals() -> None:
    assert loop(Finite(30), Broker(Wall()), limit=100)[0].total == 30
    assert loop(Finite(30, known=False), Broker(Wall()))[0].total is None
    assert loop(Finite(30, known=False), Broker(Wall()), limit=20)[0].total == 20


def test_stopping_flushes_and_says_what_was_sent() -> None:
    broker = Broker(Wall())
    last, _ = loop(made_up(speed=None), broker, until_us=START_US + SECOND_US)
    assert last.sent == len(broker.values) > 0
    assert broker.flushed == 1


def test_progress_says_what_is_not_acknowledged() -> None:
    _, seen = loop(made_up(speed=None), Broker(Wall()), until_us=START_US + 5 * SECOND_US)
    assert {progress.unacknowledged for progress in seen[:-1]} == {7}
    assert len(seen) == pytest.approx(10, abs=2)


def test_ticks_that_are_not_acknowledged_are_an_error() -> None:
    with pytest.raises(FeedError, match="3 of 30 ticks were not acknowledged"):
        loop(Finite(30), Broker(Wall(), unacknowledged=3))


def test_pace_is_event_time_over_wall_time() -> None:
    pace = Pacer(first_us=0, speed=60, now_us=START_US)
    assert pace.wall_us(60 * SECOND_US) == START_US + SECOND_US
    assert pace.due_us(START_US + SECOND_US, next_us=59 * SECOND_US) == 60 * SECOND_US
    # Ten seconds behind: the schedule moves, until one is left.
    now_us = START_US + 11 * SECOND_US
    assert pace.due_us(now_us, next_us=60 * SECOND_US) == 120 * SECOND_US
    assert now_us - pace.wall_us(60 * SECOND_US) == MOST_BEHIND_US


@dataclass
class Cluster:
    """Topics without a broker."""

    found: dict[str, int]
    asked: list[TopicSpec] = field(default_factory=list)

    def partitions(self) -> dict[str, int]:
        return self.found

    def ensure(self, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
        assert replication_factor == 2
        self.asked = list(specs)
        return [spec.name for spec in specs if spec.name not in self.found]


def test_the_topics_of_the_contract_are_made() -> None:
    settings = TopicSettings(topic="T", partitions=3, replication_factor=2)
    cluster = Cluster({})
    assert prepare(cluster, settings) == list(topics(settings).all())
    assert {spec.partitions for spec in cluster.asked} == {3}


def test_a_topic_that_is_there_is_taken_as_found() -> None:
    settings = TopicSettings(topic="T", partitions=3, replication_factor=2)
    cluster = Cluster({"T": 5})
    assert prepare(cluster, settings) == list(topics(settings).all()[1:])
    assert {spec.partitions for spec in cluster.asked} == {5}
