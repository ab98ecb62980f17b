"""The contract in src/homma/partitions/stage.py: the order of the calls, and their threads."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from homma.core.tick import TickRules
from homma.errors import OutcomeUnknown, StateError
from homma.failpoint import ignore_step
from homma.partitions.loop import Loop
from homma.partitions.stage import LoopSettings, tick_topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.reading import Committed, Message, Reader
from homma.topics.kafka.writing import Transactions
from homma.topics.ticks import ParsedBatch, parse_ticks
from tests.support.pipeline import Pipeline, tick

COUNT = 12
#: The calls for one task.
LIFE = r"on_assigned on_applied (apply on_applied |at_end |publish )*close on_revoked "
#: The calls in the pool; the loop's thread makes all others.
IN_POOL = {"on_assigned", "publish"}


@dataclass(frozen=True)
class Call:
    """A call of the loop."""

    name: str
    number: int
    thread: str


@dataclass
class LoggedTask:
    """A task that commits the offsets of the records it counts."""

    stage: "LoggedStage"
    number: int
    offset: int
    topic: str
    transactions: Transactions
    committed: int = 0
    is_full: bool = False
    has_more: bool = False

    @property
    def is_committed(self) -> bool:
        return self.committed == self.offset

    def apply(self, batch: ParsedBatch, monotonic_us: int) -> None:
        del monotonic_us
        self.stage.log("apply", self.number)
        assert batch.messages[0].offset() == self.offset
        self.stage.applied += len(batch.messages)
        self.offset = batch.end

    def at_end(self, monotonic_us: int) -> None:
        del monotonic_us
        self.stage.log("at_end", self.number)

    def publish(self, monotonic_us: int, owner: object) -> bool:
        del monotonic_us
        self.stage.log("publish", self.number)
        self.transactions.begin()
        self.transactions.commit(self.topic, self.number, self.offset, "", owner)
        self.committed = self.offset
        self.stage.after_commit(self.number)
        return True

    def close(self) -> None:
        self.stage.log("close", self.number)
        self.transactions.close()


@dataclass
class LoggedStage:
    """A stage that logs the calls of the loop."""

    topic: str
    after_commit: Callable[[int], None] = lambda _: None
    announcement: str = "logged"
    applied: int = 0
    calls: list[Call] = field(default_factory=list)
    committed: list[Committed | None] = field(default_factory=list)

    def parse(self, batches: Mapping[int, list[Message]]) -> dict[int, ParsedBatch]:
        return parse_ticks(batches, TickRules(10**18))

    def log(self, name: str, number: int) -> None:
        self.calls.append(Call(name, number, threading.current_thread().name))

    def check_group(self) -> None:
        self.log("check_group", -1)

    def on_assigned(
        self, number: int, committed: Committed | None, reader: Reader, transactions: Transactions
    ) -> LoggedTask:
        self.log("on_assigned", number)
        self.committed.append(committed)
        offset = committed.offset if committed else reader.offset_range(self.topic, number).start
        return LoggedTask(self, number, offset, self.topic, transactions, offset)

    def on_applied(self, task: object) -> None:
        assert isinstance(task, LoggedTask)
        self.log("on_applied", task.number)

    def on_revoked(self, number: int) -> None:
        self.log("on_revoked", number)

    def names(self, number: int) -> str:
        return "".join(f"{call.name} " for call in self.calls if call.number == number)


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    pipeline = Pipeline(bootstrap, partitions=2)
    pipeline.send(*(tick("2025-03-20T14:30:58", number=n, symbol=f"SYM{n}") for n in range(COUNT)))
    return pipeline


def run(pipeline: Pipeline, stage: LoggedStage) -> None:
    """Let the stage work in a loop, in this thread, up to the end."""
    settings = LoopSettings(pipeline.name, timedelta(seconds=0.2), until_end=True)
    topics = tick_topics(pipeline.config, pipeline.topics, Admin(pipeline.config))
    Loop(
        topics, settings, stage, pipeline.metrics, lambda: time.monotonic_ns() // 1000, ignore_step
    ).run(lambda: False)


def check_calls(stage: LoggedStage) -> None:
    assert stage.calls[0].name == "check_group"
    for number in (0, 1):
        assert re.fullmatch(f"({LIFE})+", stage.names(number)), stage.names(number)
    for call in stage.calls:
        in_pool = call.thread.startswith("partition")
        assert in_pool == (call.name in IN_POOL), call


def test_calls_come_in_their_order_and_in_their_threads(pipeline: Pipeline) -> None:
    stage = LoggedStage(pipeline.topics.ticks)
    run(pipeline, stage)
    check_calls(stage)
    assert stage.applied == COUNT
    # The next owner continues from the commits.
    successor = LoggedStage(pipeline.topics.ticks)
    run(pipeline, successor)
    check_calls(successor)
    assert successor.applied == 0
    assert sum(committed.offset for committed in successor.committed if committed) == COUNT


def test_a_task_whose_producer_cannot_be_used_is_opened_again(pipeline: Pipeline) -> None:
    failures = [OutcomeUnknown("committing did not return", "none")]

    def fail_once(number: int) -> None:
        if number == 0 and failures:
            raise failures.pop()

    stage = LoggedStage(pipeline.topics.ticks, after_commit=fail_once)
    run(pipeline, stage)
    check_calls(stage)
    assert stage.names(0).count("on_assigned") == 2
    assert stage.names(1).count("on_assigned") == 1
    # The commit whose outcome was unknown had succeeded.
    assert stage.applied == COUNT


def test_after_any_other_error_all_tasks_are_closed(pipeline: Pipeline) -> None:
    def fail(number: int) -> None:
        if number == 0:
            raise StateError("problem", "remedy")

    stage = LoggedStage(pipeline.topics.ticks, after_commit=fail)
    with pytest.raises(StateError, match="problem"):
        run(pipeline, stage)
    check_calls(stage)
