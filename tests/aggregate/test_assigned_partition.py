"""The phases of a partition, its records, and the queue of parses; they need no broker."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise, product

import pytest

from homma.core.tick import TickRules
from homma.errors import InternalError
from homma.partitions.assigned_partition import AssignedPartition, Phase
from homma.partitions.parsing import Parsing, PolledRecords
from homma.partitions.stage import PartitionTask
from homma.topics.kafka.reading import Committed, Message, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.ticks import ParsedBatch, parse_ticks
from tests.support.pipeline import tick

#: No program listens here: no test in this file sends a request.
CONFIG = {"bootstrap.servers": "127.0.0.1:1"}


@dataclass
class CountingTask:
    """A task that counts the records that it applies."""

    number: int = 0
    offset: int = 0
    is_committed: bool = True
    is_full: bool = False
    has_more: bool = False
    is_closed: bool = False
    times_us: list[int] = field(default_factory=list)
    ends_us: list[int] = field(default_factory=list)

    def apply(self, batch: ParsedBatch, monotonic_us: int) -> None:
        assert not self.is_closed
        self.offset = batch.end
        self.times_us.append(monotonic_us)

    def at_end(self, monotonic_us: int) -> None:
        assert not self.is_closed
        self.ends_us.append(monotonic_us)

    def publish(self, monotonic_us: int, owner: object) -> bool:
        del monotonic_us, owner
        return True

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True


@dataclass
class RecordingStage:
    """A stage that records what it is told."""

    announcement: str = ""
    applied: list[int] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)

    def parse(self, batches: Mapping[int, list[Message]]) -> dict[int, ParsedBatch]:
        return parse_ticks(batches, TickRules(10**18))

    def check_group(self) -> None:
        return None

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> PartitionTask[ParsedBatch]:
        del committed, reader, transactions
        return CountingTask(number)

    def on_applied(self, task: PartitionTask[ParsedBatch]) -> None:
        self.applied.append(task.offset)

    def on_revoked(self, number: int) -> None:
        self.revoked.append(number)


@pytest.fixture
def stage() -> RecordingStage:
    return RecordingStage()


@pytest.fixture
def partition(stage: RecordingStage) -> Iterator[AssignedPartition[ParsedBatch]]:
    partition: AssignedPartition[ParsedBatch] = AssignedPartition(0, stage)
    yield partition
    partition.revoke()


@pytest.fixture
def parsing() -> Iterator[Parsing[ParsedBatch]]:
    with ThreadPoolExecutor(2) as pool:
        yield Parsing(pool, RecordingStage().parse)


def open_with(
    partition: AssignedPartition[ParsedBatch], task: CountingTask, stop: int | None = None
) -> None:
    partition.wait(0)
    partition.start_opening(CONFIG)
    partition.open(task, stop)


def messages(*offsets: int) -> list[Message]:
    value = json.dumps(tick("2025-03-20T14:30:58")).encode()
    return [
        Message(topic="ticks", partition=0, offset=offset, value=value, timestamp=(1, offset))
        for offset in offsets
    ]


def apply_all(
    parsing: Parsing[ParsedBatch], partition: AssignedPartition[ParsedBatch], leave: int = 0
) -> None:
    for records, batch in parsing.take(leave):
        partition.apply(records, batch)


def taken(partition: AssignedPartition[ParsedBatch]) -> PolledRecords[ParsedBatch]:
    records = partition.take_polled()
    assert records is not None
    return records


# --- phases -----------------------------------------------------------------------------------
def enter(partition: AssignedPartition[ParsedBatch], phase: Phase) -> None:
    if phase is Phase.REVOKED:
        partition.revoke()
    elif phase is Phase.WAITING:
        partition.wait(0)
    elif phase is Phase.OPENING:
        partition.start_opening(CONFIG)
    elif phase is Phase.PAUSED:
        partition.pause()
    elif partition.phase is Phase.OPENING:
        partition.open(CountingTask(), None)
    else:
        partition.read_on()


#: A way from the first phase to each phase.
WAY = (Phase.REVOKED, Phase.WAITING, Phase.OPENING, Phase.READING, Phase.PAUSED)
#: Work is never skipped: only an opened partition is read, and only a waiting one is opened.
IMPOSSIBLE = {
    (Phase.REVOKED, Phase.OPENING),
    (Phase.REVOKED, Phase.READING),
    (Phase.REVOKED, Phase.PAUSED),
    (Phase.WAITING, Phase.READING),
    (Phase.WAITING, Phase.PAUSED),
    (Phase.OPENING, Phase.OPENING),
    (Phase.OPENING, Phase.PAUSED),
    (Phase.READING, Phase.OPENING),
    (Phase.PAUSED, Phase.OPENING),
    (Phase.PAUSED, Phase.PAUSED),
}


@pytest.mark.parametrize(("before", "after"), [*product(Phase, Phase)])
def test_a_partition_changes_only_to_a_phase_that_may_follow(
    partition: AssignedPartition[ParsedBatch], before: Phase, after: Phase
) -> None:
    for _, phase in pairwise(WAY[: WAY.index(before) + 1]):
        enter(partition, phase)
    assert partition.phase is before
    if (before, after) in IMPOSSIBLE:
        with pytest.raises(InternalError, match=f"from {before.value} to {after.value}; .* a bug"):
            enter(partition, after)
        assert partition.phase is before
    else:
        enter(partition, after)
        assert partition.phase is after
    assert partition.is_open == (partition.phase in {Phase.READING, Phase.PAUSED})


def test_a_partition_is_opened_when_it_is_due(partition: AssignedPartition[ParsedBatch]) -> None:
    assert not partition.is_due(10)
    partition.wait(10)
    assert not partition.is_due(9)
    assert partition.is_due(10)
    partition.start_opening(CONFIG)
    assert not partition.is_due(10)


def test_a_partition_without_a_task_says_why(partition: AssignedPartition[ParsedBatch]) -> None:
    partition.wait(0)
    with pytest.raises(InternalError, match="partition 0 has no task: it is waiting"):
        _ = partition.task


@pytest.mark.parametrize("is_lost", [False, True])
def test_whoever_loses_a_task_closes_it_once(
    partition: AssignedPartition[ParsedBatch], stage: RecordingStage, is_lost: bool
) -> None:
    task = CountingTask()
    open_with(partition, task)
    partition.pause()
    if is_lost:
        partition.revoke()
        partition.revoke()
    else:
        partition.wait(0)
    assert task.is_closed
    assert stage.revoked == [0]


def test_a_reader_serves_until_the_partition_is_revoked(
    partition: AssignedPartition[ParsedBatch],
) -> None:
    partition.wait(0)
    reader = partition.start_opening(CONFIG)
    partition.wait(0)
    assert partition.start_opening(CONFIG) is reader
    partition.revoke()
    partition.wait(0)
    assert partition.start_opening(CONFIG) is not reader


# --- records ----------------------------------------------------------------------------------
def test_records_are_applied_in_the_order_in_which_they_were_polled(
    partition: AssignedPartition[ParsedBatch], stage: RecordingStage, parsing: Parsing[ParsedBatch]
) -> None:
    task = CountingTask()
    open_with(partition, task)
    for first, monotonic_us in ((0, 100), (2, 200), (4, 300)):
        partition.add(messages(first), monotonic_us)
        # The batch has the time of its first poll.
        partition.add(messages(first + 1), monotonic_us + 1)
        assert partition.polled_count == 2
        parsing.start([taken(partition)])
        assert partition.polled_count == 0
    apply_all(parsing, partition, leave=1)
    assert (task.offset, task.times_us) == (4, [100, 200])
    apply_all(parsing, partition)
    assert (task.offset, task.times_us) == (6, [100, 200, 300])
    assert stage.applied == [2, 4, 6]


def test_the_end_counts_only_if_no_record_came_after_it(
    partition: AssignedPartition[ParsedBatch], parsing: Parsing[ParsedBatch]
) -> None:
    task = CountingTask()
    open_with(partition, task)
    partition.reach_end(10)
    partition.add(messages(0), 20)
    parsing.start([taken(partition)])
    apply_all(parsing, partition)
    assert task.ends_us == []
    partition.reach_end(30)
    parsing.start([taken(partition)])
    apply_all(parsing, partition)
    assert task.ends_us == [30]
    assert partition.take_polled() is None


def test_records_polled_for_an_earlier_task_are_not_applied(
    partition: AssignedPartition[ParsedBatch], parsing: Parsing[ParsedBatch]
) -> None:
    closed, task = CountingTask(), CountingTask()
    partition.add(messages(0), 0)
    assert partition.polled_count == 0, "the partition is not open"
    open_with(partition, closed)
    partition.add(messages(0), 0)
    parsing.start([taken(partition)])
    partition.add(messages(1), 0)
    partition.wait(0)
    assert partition.take_polled() is None
    partition.start_opening(CONFIG)
    partition.open(task, None)
    apply_all(parsing, partition)
    assert (closed.offset, task.offset) == (0, 0)


def test_work_ends_where_the_partition_ended_when_it_was_first_opened(
    partition: AssignedPartition[ParsedBatch], parsing: Parsing[ParsedBatch]
) -> None:
    task = CountingTask()
    open_with(partition, task, stop=3)
    partition.revoke()
    open_with(partition, task := CountingTask(), partition.stop_offset)
    partition.add(messages(0, 1), 0)
    parsing.start([taken(partition)])
    apply_all(parsing, partition)
    assert not partition.is_at_stop
    # The last offset is the marker of a transaction.
    partition.reach_end(1)
    parsing.start([taken(partition)])
    apply_all(parsing, partition)
    assert (partition.is_at_stop, partition.stop_offset, task.offset) == (True, 2, 2)


def test_without_until_end_work_never_ends(partition: AssignedPartition[ParsedBatch]) -> None:
    open_with(partition, CountingTask(offset=10**9))
    assert not partition.is_at_stop


def test_a_failed_parse_is_raised_where_it_is_taken(parsing: Parsing[ParsedBatch]) -> None:
    broken = PolledRecords(CountingTask(), 0, [None])  # type: ignore[list-item]
    parsing.start([broken])
    with pytest.raises(AttributeError):
        next(parsing.take(0))
