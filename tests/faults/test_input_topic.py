"""The topic of ticks goes away, or gets more partitions: the engine stops and says why."""

import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.aggregate.pipeline import Pipeline, until
from tests.faults.engines import Engines, Feed, Progress, market

#: librdkafka looks for new partitions every 5 minutes if it is not told otherwise.
LOOK_OFTEN = ("-X", "topic.metadata.refresh.interval.ms=500")


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap)


def sent(pipeline: Pipeline, count: int = 300) -> int:
    with Feed(pipeline, market(1, count, 3, spoiled=False), 0):
        pass
    return count


def delete(pipeline: Pipeline) -> None:
    topic = pipeline.topics.ticks
    client = AdminClient(pipeline.config)
    client.delete_topics([topic])[topic].result(10)
    until(lambda: topic not in Admin(pipeline.config).partitions())


def add_partition(pipeline: Pipeline) -> None:
    topic = pipeline.topics.ticks
    client = AdminClient(pipeline.config)
    client.create_partitions([NewPartitions(topic, 2)])[topic].result(10)
    until(lambda: Admin(pipeline.config).partitions()[topic] == 2)


def test_a_topic_deleted_stops_the_engine(pipeline: Pipeline, tmp_path: Path) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        Progress(pipeline).reach(sent(pipeline))
        delete(pipeline)
        assert pipeline.topics.ticks in engine.ended_with_a_sentence()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_topic_deleted_and_made_again_stops_the_engine(
    pipeline: Pipeline, tmp_path: Path, frozen: bool
) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        before = sent(pipeline)
        Progress(pipeline).reach(before)
        was = pipeline.candles()
        if frozen:
            # It does not see that there was nothing for a while.
            engine.send(signal.SIGSTOP)
        delete(pipeline)
        Admin(pipeline.config).ensure(contract.specs(pipeline.topic_settings, 1), 1)
        # More than there were, so that the old offset is a valid one of the new topic.
        sent(pipeline, 2 * before)
        if frozen:
            engine.send(signal.SIGCONT)
        assert pipeline.topics.ticks in engine.ended_with_a_sentence()
    assert pipeline.candles()["volume"].sum() == was["volume"].sum()


def test_partitions_added_to_a_stopped_pipeline_are_refused(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        Progress(pipeline).reach(sent(pipeline))
        engine.stop()
        add_partition(pipeline)
        sentence = engines.start().ended_with_a_sentence()
        assert "has 1 partitions where 2 are needed" in sentence


def test_partitions_added_while_it_runs_stop_the_engine(pipeline: Pipeline, tmp_path: Path) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start(*LOOK_OFTEN)
        Progress(pipeline).reach(sent(pipeline))
        add_partition(pipeline)
        sentence = engine.ended_with_a_sentence()
        assert "partitions" in sentence
