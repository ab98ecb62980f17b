"""Whether a topic is still the one that was read."""

from dataclasses import dataclass

import pytest
from confluent_kafka.admin import AdminClient

from homma.errors import KafkaError, Unreachable
from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.identity import TopicState, TopicWatch, ends_before, topic_state
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("id_now", "state"),
    [("one", TopicState.SAME), ("two", TopicState.RECREATED), (None, TopicState.AWAY)],
)
def test_ids_are_compared(id_now: str | None, state: TopicState) -> None:
    assert topic_state("one", id_now) is state


def test_a_partition_may_end_where_it_was_read_to_but_not_before() -> None:
    assert [ends_before(end, 7) for end in (6, 7, 8)] == [True, False, False]


@dataclass
class Answers:
    """The id that Kafka answers, or its error, and the time."""

    id_now: str | KafkaError | None
    now_s: float = 0.0

    def answer(self) -> str | None:
        if isinstance(self.id_now, KafkaError):
            raise self.id_now
        return self.id_now

    def watch(self) -> TopicWatch:
        return TopicWatch("ticks", "one", self.answer, lambda: self.now_s)


def test_a_topic_that_stays_away_was_deleted() -> None:
    kafka = Answers(None)
    watch = kafka.watch()
    assert watch.state() is TopicState.AWAY
    kafka.now_s = 10.0
    assert watch.state() is TopicState.AWAY
    kafka.now_s = 10.1
    assert watch.state() is TopicState.DELETED


def test_a_topic_that_came_back_may_be_away_as_long_again() -> None:
    kafka = Answers(None)
    watch = kafka.watch()
    assert watch.state() is TopicState.AWAY
    kafka.id_now = "one"
    assert watch.state() is TopicState.SAME
    kafka.now_s, kafka.id_now = 60.0, None
    assert watch.state() is TopicState.AWAY


def test_without_an_answer_a_topic_is_away_however_long_it_takes() -> None:
    kafka = Answers(Unreachable("no broker answers", "start one"))
    watch = kafka.watch()
    for now_s in (0.0, 60.0, 120.0):
        kafka.now_s = now_s
        assert watch.state() is TopicState.AWAY


def test_a_topic_that_is_created_again_is_another_one(bootstrap: str) -> None:
    connection = {"bootstrap.servers": bootstrap}
    admin, spec = Admin(connection), TopicSpec("created_twice", 1, {})
    admin.ensure([spec], 1)
    watch = TopicWatch(
        spec.name,
        admin.topic_id(spec.name) or "",
        lambda: admin.topic_id(spec.name),
        lambda: 0.0,
    )
    assert watch.state() is TopicState.SAME
    client = AdminClient({**connection})
    client.delete_topics([spec.name])[spec.name].result(10)
    until(lambda: spec.name not in admin.partitions())
    until(lambda: watch.state() is TopicState.AWAY)
    admin.ensure([spec], 1)
    assert until(lambda: (s := watch.state()) is not TopicState.AWAY and s) is TopicState.RECREATED
