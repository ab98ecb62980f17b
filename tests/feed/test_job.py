"""The feed loop: pacing, limit, stopping, progress and topics, with a simulated clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from homma.errors import FeedError
from homma.feed.job import SendProgress, prepare, run
from homma.feed.source import AT_ONCE_US, MAX_BEHIND_US, Pacer, Records, TickSource
from homma.settings import TopicSettings
from homma.topics.contract import TopicSpec, topics
from tests.feed.market import SECOND_US, START_US, generated


@dataclass
class Wall:
    """A wall clock that advances on sleep."""

    now_us: int = START_US
    slept_s: list[float] = field(default_factory=list)

    def read(self) -> int:
        return self.now_us

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_us += round(seconds * SECOND_US)


@dataclass
class Broker:
    """Accepts records. Each takes `cost_us`."""

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
    """A source of `left` records, all due at once."""

    left: int
    is_total_known: bool = True

    def __post_init__(self) -> None:
        self.total = self.left if self.is_total_known else None

    def take(self, now_us: int, limit: int) -> Records | None:
        assert now_us >= START_US
        count = min(limit, self.left)
        self.left -= count
        return Records([b"k"] * count, [b"v"] * count) if count else None


def loop(
    source: TickSource, broker: Broker, *, limit: int = 0, until_us: int = AT_ONCE_US
) -> tuple[SendProgress, list[SendProgress]]:
    reports: list[SendProgress] = []
    last = run(
        source,
        broker,
        "T",
        limit=limit,
        stop=lambda: broker.wall.now_us >= until_us,
        now_us=broker.wall.read,
        sleep=broker.wall.sleep,
        on_progress=reports.append,
    )
    return last, reports


@pytest.mark.parametrize("rate_per_s", [3, 40, 12_345, 200_000])
def test_the_rate_is_even(rate_per_s: int) -> None:
    broker = Broker(Wall())
    last, reports = loop(
        generated(rate_per_s=rate_per_s, speed=None), broker, until_us=START_US + 10 * SECOND_US
    )
    assert last.sent == pytest.approx(10 * rate_per_s, rel=0.01, abs=1)
    # No twentieth of a second sends more than its share.
    assert max(count for _, count in broker.sent) <= rate_per_s / 20 + 1
    later = [progress.rate_per_s for progress in reports[1:-1]]
    assert all(rate == pytest.approx(rate_per_s, rel=0.1, abs=2) for rate in later)


def test_after_a_stall_at_most_a_second_is_caught_up() -> None:
    # The pace of the source starts at the epoch.
    wall = Wall(now_us=0)
    broker, source = Broker(wall), generated(rate_per_s=1_000, speed=1)
    loop(source, broker, until_us=SECOND_US)
    assert len(broker.values) == pytest.approx(1_000, rel=0.06)
    wall.now_us += 3_600 * SECOND_US
    loop(source, broker, until_us=wall.now_us + SECOND_US)
    # The first second, one second of the hour, and the last second.
    assert len(broker.values) == pytest.approx(3_000, rel=0.06)


def test_a_rate_beyond_the_broker_falls_behind_by_at_most_a_second() -> None:
    broker = Broker(Wall(), cost_us=1_000)
    loop(generated(rate_per_s=5_000, speed=None), broker, until_us=START_US + 60 * SECOND_US)
    assert len(broker.values) == pytest.approx(60_000, rel=0.2)


def test_the_limit_is_exact() -> None:
    broker = Broker(Wall())
    last, reports = loop(generated(rate_per_s=70_000, speed=None), broker, limit=12_345)
    assert last.sent == len(broker.values) == 12_345
    assert {progress.total for progress in reports} == {12_345}


def test_the_loop_flushes_when_the_source_ends() -> None:
    broker = Broker(Wall())
    last, reports = loop(Finite(25_000), broker)
    assert (last.sent, last.total, last.unacknowledged) == (25_000, 25_000, 0)
    assert len(broker.values) == 25_000
    assert broker.flushed == 1
    assert reports[-1] == last


def test_totals() -> None:
    assert loop(Finite(30), Broker(Wall()), limit=100)[0].total == 30
    assert loop(Finite(30, is_total_known=False), Broker(Wall()))[0].total is None
    assert loop(Finite(30, is_total_known=False), Broker(Wall()), limit=20)[0].total == 20


def test_stopping_flushes_and_reports_the_ticks_sent() -> None:
    broker = Broker(Wall())
    last, _ = loop(generated(speed=None), broker, until_us=START_US + SECOND_US)
    assert last.sent == len(broker.values) > 0
    assert broker.flushed == 1


def test_progress_reports_unacknowledged_ticks() -> None:
    _, reports = loop(generated(speed=None), Broker(Wall()), until_us=START_US + 5 * SECOND_US)
    assert {progress.unacknowledged for progress in reports[:-1]} == {7}
    assert len(reports) == pytest.approx(10, abs=2)


def test_unacknowledged_ticks_are_an_error() -> None:
    with pytest.raises(FeedError, match="3 of 30 ticks were not acknowledged"):
        loop(Finite(30), Broker(Wall(), unacknowledged=3))


def test_pace_is_event_time_over_wall_time() -> None:
    pace = Pacer(first_us=0, speed=60, now_us=START_US)
    assert pace.wall_us(60 * SECOND_US) == START_US + SECOND_US
    assert pace.due_us(START_US + SECOND_US, next_us=59 * SECOND_US) == 60 * SECOND_US
    # Ten seconds behind: the schedule moves until it is one second behind.
    now_us = START_US + 11 * SECOND_US
    assert pace.due_us(now_us, next_us=60 * SECOND_US) == 120 * SECOND_US
    assert now_us - pace.wall_us(60 * SECOND_US) == MAX_BEHIND_US


@dataclass
class Cluster:
    """Topics without a broker."""

    existing: dict[str, int]
    requested: list[TopicSpec] = field(default_factory=list)

    def partitions(self) -> dict[str, int]:
        return self.existing

    def ensure(self, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
        assert replication_factor == 2
        self.requested = list(specs)
        return [spec.name for spec in specs if spec.name not in self.existing]


def test_missing_topics_are_created() -> None:
    settings = TopicSettings(topic="T", partitions=3, replication_factor=2)
    cluster = Cluster({})
    assert prepare(cluster, settings) == list(topics(settings).all())
    assert {spec.partitions for spec in cluster.requested} == {3}


def test_the_partition_count_of_an_existing_topic_is_kept() -> None:
    settings = TopicSettings(topic="T", partitions=3, replication_factor=2)
    cluster = Cluster({"T": 5})
    assert prepare(cluster, settings) == list(topics(settings).all()[1:])
    assert {spec.partitions for spec in cluster.requested} == {5}
