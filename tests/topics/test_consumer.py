"""Each profile of the consumer, and each error of its triage, on a real broker."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from homma.errors import Fenced, KafkaError, OffsetGone, TopicMissing, Unreachable
from homma.topics.kafka import profiles
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import client_config, create_client
from homma.topics.kafka.consumer import Consumed, PartitionConsumer, TopicAndPartition
from homma.topics.kafka.follower import Follower
from homma.topics.kafka.profiles import (
    ASSIGNED,
    BOUNDED,
    FOLLOWER,
    GROUP_MEMBER,
    GROUP_OBSERVER,
    UNCOMMITTED,
    Profile,
)
from homma.topics.kafka.reading import Committed, GroupOffsets, GroupReader, Range, Reader
from homma.topics.kafka.triage import KINDS, ErrorKind, kind_of
from homma.topics.kafka.writing import Transactions
from tests.support.consuming import read_on, read_values
from tests.support.waiting import free_ports, until

COUNT = 10
PROFILES = {
    name: profile for name, profile in vars(profiles).items() if isinstance(profile, Profile)
}


@pytest.fixture
def connection(bootstrap: str) -> dict[str, str]:
    return {"bootstrap.servers": bootstrap}


@pytest.fixture
def topic(connection: dict[str, str]) -> Iterator[str]:
    """A topic of two partitions; partition 0 has the records 0 to 9."""
    name = "t" + uuid.uuid4().hex[:10]
    client = AdminClient({**connection})
    client.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])[name].result(10)
    produce(connection, name, range(COUNT))
    yield name
    client.delete_topics([name])[name].result(10)


def produce(connection: dict[str, str], topic: str, numbers: range) -> None:
    producer = Producer(connection)
    for number in numbers:
        producer.produce(topic, str(number), partition=0)
    assert producer.flush(10) == 0


def delete_before(connection: dict[str, str], topic: str, offset: int) -> None:
    """Delete the records before an offset, as retention does."""
    client, part = AdminClient({**connection}), TopicPartition(topic, 0, offset)
    client.delete_records([part])[part].result(10)


def values(consumed: Consumed) -> list[int]:
    return [int(message.value() or b"") for message in consumed.records]


# --- profiles ---------------------------------------------------------------------------------
def test_the_profiles_are_those_tested_here() -> None:
    assert set(PROFILES) == {
        "ASSIGNED",
        "BOUNDED",
        "FOLLOWER",
        "GROUP_MEMBER",
        "GROUP_OBSERVER",
        "UNCOMMITTED",
    }


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profile_commits_nothing_by_itself(
    connection: dict[str, str], topic: str, profile: Profile
) -> None:
    consumer = PartitionConsumer(connection, profile, group_id=topic)
    with closing(consumer):
        consumer.start({(topic, 0): 0})
        assert read_values(consumer, COUNT) == [*range(COUNT)]
    with closing(GroupOffsets(connection, topic, topic)) as group:
        assert group.committed(0) is None


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_only_one_profile_sees_what_an_open_transaction_wrote(
    connection: dict[str, str], topic: str, profile: Profile
) -> None:
    transactions = Transactions(connection, topic, 10_000)
    transactions.init()
    transactions.begin()
    transactions.send(topic, 0, [None], [b"10"], [1], [[]])
    with closing(PartitionConsumer(connection, UNCOMMITTED)) as consumer:
        until(lambda: consumer.offset_range((topic, 0))[1] > COUNT)
    with closing(PartitionConsumer(connection, profile)) as consumer:
        end = COUNT + 1 if profile is UNCOMMITTED else COUNT
        assert consumer.offset_range((topic, 0)) == (0, end)
    transactions.abort()
    transactions.close()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_properties_of_the_connection_take_precedence(profile: Profile) -> None:
    config = client_config({"fetch.wait.max.ms": "7", "group.id": "mine"}, **profile.settings)
    assert (config["fetch.wait.max.ms"], config["group.id"]) == ("7", "mine")
    create_client(Consumer, config).close()


def test_a_group_member_reads_from_where_the_caller_says(
    connection: dict[str, str], topic: str
) -> None:
    reader = GroupReader(connection, topic, topic, 6_000, "announced")
    assigned: list[int] = []
    with closing(reader):

        def on_assigned(partitions: Sequence[int]) -> None:
            reader.pause(partitions)
            assigned.extend(partitions)

        reader.join(on_assigned, lambda _: None, lambda _: None)
        until(lambda: reader.consume(100, 0.1) and len(assigned) == 2)
        reader.start(0, 7)
        read: list[int | None] = []

        def has_ended() -> list[int]:
            batches, ends = reader.consume(100, 0.1)
            read.extend(message.offset() for message in batches.get(0, ()))
            return ends

        assert until(has_ended) == [0]
        # As if librdkafka had gone back to the beginning by itself, which happens.
        reader._consumer.start({(topic, 0): 0})
        assert until(has_ended) == [0]
        assert read == [7, 8, 9]
        # The caller may go back.
        reader.start(0, 8)
        assert until(has_ended) == [0]
        assert read == [7, 8, 9, 8, 9]
        assert reader.known_end(0) == COUNT
        assert Admin(connection).client_ids(topic) == ["announced"]


def test_an_observer_sees_committed_offsets_and_is_no_member(
    connection: dict[str, str], topic: str
) -> None:
    committer = Consumer({**connection, "group.id": topic})
    position = TopicPartition(topic, 1, 5, "what was done")
    committer.commit(offsets=[position], asynchronous=False)
    committer.close()
    with closing(GroupOffsets(connection, topic, topic)) as group:
        assert group.committed(0) is None
        assert group.committed(1) == Committed(5, "what was done")
        assert Admin(connection).client_ids(topic) == []


def test_assigned_partitions_start_anywhere_and_can_be_moved(
    connection: dict[str, str], topic: str
) -> None:
    with closing(PartitionConsumer(connection, ASSIGNED)) as consumer:
        consumer.start({(topic, 0): 8, (topic, 1): 0})
        assert read_values(consumer, 2) == [8, 9]
        consumer.start({(topic, 0): 5})
        consumed = consumer.consume(5, 30)
        assert values(consumed) == [5, 6, 7, 8, 9]
        assert list(consumed.by_partition()) == [(topic, 0)]
        assert consumer.known_end((topic, 0)) == COUNT


def test_the_end_of_each_assigned_partition_is_reported(
    connection: dict[str, str], topic: str
) -> None:
    with closing(PartitionConsumer(connection, ASSIGNED)) as consumer:
        consumer.start({(topic, 0): 0, (topic, 1): 0})
        ends: dict[TopicAndPartition, int] = {}

        def has_both() -> bool:
            ends.update(consumer.consume(100, 0.1).ends)
            return len(ends) == 2

        until(has_both)
        assert ends == {(topic, 0): COUNT, (topic, 1): 0}


def test_a_follower_continues_with_the_oldest_record_left(
    connection: dict[str, str], topic: str
) -> None:
    delete_before(connection, topic, 6)
    with closing(PartitionConsumer(connection, FOLLOWER)) as consumer:
        consumer.start({(topic, 0): 2})
        assert read_values(consumer, 4) == [6, 7, 8, 9]


def test_a_follower_takes_what_is_there_and_then_what_comes(
    connection: dict[str, str], topic: str
) -> None:
    with closing(Follower(connection, topic)) as follower:
        assert sum(len(batch) for step in follower.steps() for batch in follower.read(step)) == 10
        follower.follow()
        produce(connection, topic, range(10, 13))
        read: list[str | bytes | None] = []

        def has_three() -> bool:
            read.extend(message.value() for message in follower.poll(0.1))
            return len(read) == 3

        until(has_three)
        assert read == [b"10", b"11", b"12"]


def test_a_bounded_read_ends_at_its_range(connection: dict[str, str], topic: str) -> None:
    with closing(Reader(connection)) as reader:
        for span, expected in ((Range(2, 5), [2, 3, 4]), (Range(0, COUNT), [*range(COUNT)])):
            batches = list(reader.read(0, {topic: span}))
            assert [int(m.value() or b"") for batch in batches for m in batch] == expected
        assert list(reader.read(0, {topic: Range(3, 3)})) == []


def test_a_bounded_read_waits_no_longer_than_its_patience(
    connection: dict[str, str], topic: str
) -> None:
    transactions = Transactions(connection, topic, 10_000)
    transactions.init()
    transactions.begin()
    transactions.send(topic, 1, [None], [b"10"], [1], [[]])
    with closing(Reader(connection)) as reader:
        until(lambda: reader.offset_range(topic, 1).end)
        # The end of the partition is reached at once, and then nothing more comes.
        with pytest.raises(KafkaError, match=r"were read within 0\.5 s"):
            list(reader.read(1, {topic: Range(0, 1)}, patience_s=0.5))
    transactions.abort()
    transactions.close()


def test_the_first_timestamp_is_that_of_a_committed_record(
    connection: dict[str, str], topic: str
) -> None:
    with closing(Reader(connection)) as reader:
        records = [m for batch in reader.read(0, {topic: Range(0, COUNT)}) for m in batch]
        for offset in (0, 7):
            timestamp_ms = records[offset].timestamp()[1]
            assert reader.first_timestamp_ms(topic, 0, offset) == timestamp_ms
        assert reader.first_timestamp_ms(topic, 0, COUNT) is None
        assert reader.first_timestamp_ms(topic, 1, 0) is None
        transactions = Transactions(connection, topic, 10_000)
        transactions.init()
        transactions.begin()
        transactions.send(topic, 1, [None], [b"10"], [1], [[]])
        until(lambda: reader.offset_range(topic, 1).end)
        assert reader.first_timestamp_ms(topic, 1, 0) is None
        # Only the marker of the transaction is left.
        transactions.abort()
        transactions.close()
        assert reader.first_timestamp_ms(topic, 1, 0) is None
        # Retention has deleted the first records.
        # A client that is no longer referenced would not answer.
        client = AdminClient({**connection})
        for result in client.delete_records([TopicPartition(topic, 0, 4)]).values():
            result.result(30)
        timestamp_ms = records[4].timestamp()[1]
        assert reader.first_timestamp_ms(topic, 0, 2) == timestamp_ms


# --- triage -----------------------------------------------------------------------------------
def test_each_code_has_one_kind() -> None:
    codes = [code for row in KINDS.values() for code in row.codes]
    assert len(codes) == len(set(codes))
    assert set(KINDS) == set(ErrorKind)
    assert kind_of(Code(Code.INVALID_MSG)) is ErrorKind.FATAL


@pytest.mark.parametrize("profile", [GROUP_MEMBER, GROUP_OBSERVER, BOUNDED, UNCOMMITTED])
def test_an_offset_that_is_gone_is_an_error(
    connection: dict[str, str], topic: str, profile: Profile
) -> None:
    delete_before(connection, topic, 6)
    with closing(PartitionConsumer(connection, profile)) as consumer:
        consumer.start({(topic, 0): 2})
        with pytest.raises(OffsetGone, match=f"reading {topic} at "):
            read_on(consumer)


@pytest.mark.parametrize("offset", [2, COUNT + 1])
def test_an_assigned_partition_whose_offset_is_gone_is_to_be_restarted(
    connection: dict[str, str], topic: str, offset: int
) -> None:
    delete_before(connection, topic, 6)
    with closing(PartitionConsumer(connection, ASSIGNED)) as consumer:
        consumer.start({(topic, 0): offset})
        assert until(lambda: consumer.consume(100, 0.1).lost) == {(topic, 0)}
        consumer.start({(topic, 0): 6})
        assert read_values(consumer, 4) == [6, 7, 8, 9]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_topic_that_does_not_exist_has_no_offsets(
    connection: dict[str, str], profile: Profile
) -> None:
    with (
        closing(PartitionConsumer(connection, profile)) as consumer,
        pytest.raises(TopicMissing, match=r"offsets of no-such-topic at .*; create the topic"),
    ):
        consumer.offset_range(("no-such-topic", 0))


def test_a_member_of_a_group_is_told_that_its_topic_does_not_exist(
    connection: dict[str, str], topic: str
) -> None:
    with closing(PartitionConsumer(connection, GROUP_MEMBER, group_id=topic)) as consumer:
        consumer.client.subscribe(["no-such-topic"])
        with pytest.raises(TopicMissing, match="reading no-such-topic at "):
            read_on(consumer)


def test_a_member_replaced_by_another_of_its_name_is_fenced(
    connection: dict[str, str], topic: str
) -> None:
    named = connection | {"group.instance.id": "the-same", "auto.offset.reset": "earliest"}
    with (
        closing(PartitionConsumer(named, GROUP_MEMBER, group_id=topic)) as first,
        closing(PartitionConsumer(named, GROUP_MEMBER, group_id=topic)) as second,
    ):
        first.client.subscribe([topic])
        until(lambda: first.consume(100, 0.1) and first.client.assignment())
        second.client.subscribe([topic])
        with pytest.raises(Fenced, match=f"reading in group {topic}"):
            read_on(second, first)


def test_without_a_broker_nothing_is_read_and_questions_fail() -> None:
    [port] = free_ports(1)
    with closing(PartitionConsumer({"bootstrap.servers": f"127.0.0.1:{port}"}, ASSIGNED)) as nobody:
        nobody.start({("ticks", 0): 0})
        assert nobody.consume(100, 0.5) == Consumed([])
        with pytest.raises(Unreachable, match="listing topics"):
            nobody.ask("listing topics", lambda client: client.list_topics(timeout=0.5))
