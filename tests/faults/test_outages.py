"""The broker is away for a while, or the engine for a day of ticks."""

import os
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from tests.faults.brokers import OwnBroker
from tests.faults.schedule import with_pauses
from tests.support.engines import (
    ALLOWED_LATENESS,
    Engines,
    Progress,
    Record,
    Watch,
    at_work,
    check,
    flow,
    market,
)
from tests.support.pipeline import Pipeline

#: How long the broker is away: OUTAGE_S=60 for the whole minute.
OUTAGE_S = float(os.environ.get("OUTAGE_S", "20"))


def test_an_engine_waits_for_a_broker_that_is_away(broker: OwnBroker, tmp_path: Path) -> None:
    pipeline = Pipeline(broker.address, partitions=2)
    records = market(1, 6_000, 6)
    with at_work(pipeline, tmp_path, records, 15) as (engines, feed, progress):
        engine = engines.start()
        progress.reach(300)
        broker.process.stop()
        time.sleep(OUTAGE_S)
        broker.process.start()
        feed.join()
        progress.reach(len(records), within_s=120)
        engine.stop()
    check(pipeline)


DAY = timedelta(days=1)
COUNT = 8_000
STEP = DAY / COUNT


def keep_timestamps(pipeline: Pipeline) -> None:
    """Let ticks keep the Kafka timestamp of their sender."""
    entry = ConfigEntry(
        "message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(
        ConfigResource.Type.TOPIC, pipeline.topics.ticks, incremental_configs=[entry]
    )
    client = AdminClient(pipeline.config)
    for future in client.incremental_alter_configs([resource]).values():
        future.result(10)


def send_as_of(pipeline: Pipeline, records: list[Record], begins: datetime) -> None:
    """Send records with timestamps that begin at `begins`, one per `STEP`."""
    producer = Producer({**pipeline.config, "enable.idempotence": True})
    for number, (key, value) in enumerate(records):
        at_ms = round((begins + number * STEP).timestamp() * 1000)
        producer.produce(pipeline.topics.ticks, value, key, timestamp=at_ms)
        producer.poll(0)
    assert producer.flush(30) == 0


def test_ticks_that_waited_a_day_are_not_late(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    keep_timestamps(pipeline)
    began = datetime.now(UTC) - DAY
    begins = began.replace(tzinfo=None)
    # Some series pause for two hours, and resume with a tick that is late but not dropped.
    steady = flow(1, 6, begins=begins, step=STEP)
    pausing = with_pauses(
        steady, 1, ALLOWED_LATENESS / 2, series=2, every=350, begins=begins, step=STEP
    )
    records = list(islice(pausing, COUNT))
    before = COUNT // 10
    with Watch(pipeline), Engines(pipeline, tmp_path) as engines:
        engine = engines.start()
        send_as_of(pipeline, records[:before], began)
        progress = Progress(pipeline)
        progress.reach(before)
        engine.kill()
        send_as_of(pipeline, records[before:], began + before * STEP)
        engine = engines.start()
        progress.reach(len(records))
        engine.stop()
    check(pipeline)
