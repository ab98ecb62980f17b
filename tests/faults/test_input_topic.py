"""The tick topic is deleted, or gets more partitions: the engine stops and says why."""

import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from homma.topics import contract
from homma.topics.kafka.admin import Admin
from tests.support.engines import Engines, Feed, Progress, market
from tests.support.pipeline import Pipeline, until

#: By default librdkafka checks for new partitions every 5 minutes.
REFRESH_OFTEN = ("-X", "topic.metadata.refresh.interval.ms=500")


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap)


def send(pipeline: Pipeline, count: int = 300) -> int:
    with Feed(pipeline, market(1, count, 3, noisy=False), 0):
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


def test_a_deleted_topic_stops_the_engine(pipeline: Pipeline, tmp_path: Path) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        Progress(pipeline).reach(send(pipeline))
        delete(pipeline)
        assert pipeline.topics.ticks in engine.wait_failed()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_recreated_topic_stops_the_engine(
    pipeline: Pipeline, tmp_path: Path, frozen: bool
) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        before = send(pipeline)
        Progress(pipeline).reach(before)
        candles_before = pipeline.candles()
        if frozen:
            # A frozen engine does not notice that the topic was missing.
            engine.send(signal.SIGSTOP)
        delete(pipeline)
        Admin(pipeline.config).ensure(contract.specs(pipeline.topic_settings, 1), 1)
        # More ticks than before, so that the old offset is valid in the new topic.
        send(pipeline, 2 * before)
        if frozen:
            engine.send(signal.SIGCONT)
        assert pipeline.topics.ticks in engine.wait_failed()
    assert pipeline.candles()["volume"].sum() == candles_before["volume"].sum()


def test_partitions_added_to_a_stopped_pipeline_are_refused(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        Progress(pipeline).reach(send(pipeline))
        engine.stop()
        add_partition(pipeline)
        message = engines.start().wait_failed()
        assert "has 1 partitions, but 2 are needed" in message


def test_partitions_added_while_it_runs_stop_the_engine(pipeline: Pipeline, tmp_path: Path) -> None:
    with Engines(pipeline, tmp_path) as engines:
        engine = engines.start(*REFRESH_OFTEN)
        Progress(pipeline).reach(send(pipeline))
        add_partition(pipeline)
        message = engine.wait_failed()
        assert "partitions" in message
