"""What `homma land` refuses, with a one-sentence error, and what it skips."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from homma.core.interval import CLOCK
from homma.errors import OffsetsLost, SplitSeries, StateError, TableMismatch
from homma.lake.schema import TICKS, candle_table
from homma.lake.table import Lake
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from tests.support.candle_rows import MINUTES
from tests.support.pipeline import Pipeline, tick
from tests.support.sinks import Sinks, until
from tests.support.waiting import free_ports
from tests.support.weed import Weed

DAY = "2025-03-20T"


def refused(argv: Sequence[str], status: int, env: dict[str, str], cwd: Path) -> str:
    process = subprocess.run(
        [*argv, "--until-end"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=200,
        env={"PATH": "/usr/bin:/bin", **env},
    )
    assert process.returncode == status, process.stderr
    [sentence] = [line for line in process.stderr.splitlines() if line.startswith("homma: ")]
    assert "Traceback" not in process.stderr
    return sentence


def test_credentials_and_addresses(sinks: Sinks, server: Weed, tmp_path: Path) -> None:
    argv = sinks.argv(sinks.properties)
    sentence = refused(argv, 2, {}, tmp_path)
    assert "AWS_ACCESS_KEY_ID" in sentence
    assert ".homma/credentials.env" in sentence
    wrong = {**server.environment, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    sentence = refused(argv, 1, wrong, tmp_path)
    assert "AWS_SECRET_ACCESS_KEY" in sentence
    assert "wrong-secret" not in sentence
    [unused_port] = free_ports(1)
    wrong_address = {**sinks.properties, "uri": f"http://127.0.0.1:{unused_port}"}
    sentence = refused(sinks.argv(wrong_address), 1, server.environment, tmp_path)
    assert f"127.0.0.1:{unused_port}" in sentence
    assert "--catalog-uri" in sentence
    assert sys.executable in argv[0]


def test_another_schema_is_refused_and_no_table_is_created(sinks: Sinks) -> None:
    sinks.pipeline.send(tick(DAY + "12:00:00"))
    lake = Lake(sinks.properties, sinks.namespace)
    last = candle_table(CLOCK)
    lake.ensure_table(replace(last, columns=last.columns[:7], partitions=()))
    with pytest.raises(TableMismatch, match=last.name):
        sinks.work_off()
    assert not lake.has_table(TICKS)
    lake.close()


def delete_before(pipeline: Pipeline, offset: int) -> None:
    client = AdminClient(pipeline.config)
    position = TopicPartition(pipeline.topics.ticks, 0, offset)
    client.delete_records([position])[position].result(30)


def test_ticks_that_kafka_has_deleted(bootstrap: str, sinks: Sinks) -> None:
    sinks.pipeline = Pipeline(bootstrap)
    sinks.pipeline.send(*(tick(f"{DAY}12:00:{n:02}", number=n) for n in range(10)))
    sinks.work_off()
    sinks.pipeline.send(*(tick(f"{DAY}12:01:{n:02}", number=10 + n) for n in range(10)))
    delete_before(sinks.pipeline, 15)
    with pytest.raises(OffsetsLost, match=r"offsets 10 to 14 .* partition 0"):
        sinks.work_off()
    assert sinks.rows(TICKS.name).height == 10
    sinks.work_off(accept_loss=True)
    assert sorted(sinks.rows(TICKS.name)["kafka_offset"]) == [*range(10), *range(15, 20)]


def test_ticks_that_kafka_deletes_before_a_running_sink_reads_them(
    bootstrap: str, sinks: Sinks
) -> None:
    sinks.pipeline = Pipeline(bootstrap)
    sinks.pipeline.send(*(tick(f"{DAY}12:00:{n:02}", number=n) for n in range(10)))
    sink = sinks.start()
    until(lambda: sinks.landed_offsets() == 10)
    sink.freeze()
    # The broker still answers the last request of the sink.
    time.sleep(2)
    sinks.pipeline.send(*(tick(f"{DAY}12:01:{n:02}", number=10 + n) for n in range(10)))
    delete_before(sinks.pipeline, 15)
    sink.thaw()
    assert "offsets 10 to 14" in sink.wait_failed()
    assert sinks.rows(TICKS.name).height == 10


def test_a_topic_that_was_created_again(bootstrap: str, sinks: Sinks) -> None:
    pipeline = sinks.pipeline = Pipeline(bootstrap)
    pipeline.send(tick(DAY + "12:00:00"))
    sinks.work_off()
    client, topic = AdminClient(pipeline.config), pipeline.topics.ticks
    client.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in Admin(pipeline.config).partitions())
    Admin(pipeline.config).ensure(contract.specs(pipeline.topic_settings, 1), 1)
    pipeline.send(tick(DAY + "12:00:01"))
    with pytest.raises(StateError, match="deleted and created again"):
        sinks.work_off()
    assert sinks.rows(TICKS.name).height == 1


def candle_record(symbol: str = "AAA", **fields: Any) -> bytes:
    at = DAY + "12:00:00.000"
    candle = {
        "source": "S",
        "symbol": symbol,
        "dateTime": at,
        "open": 1.0,
        "high": 1.0,
        "low": 1.0,
        "close": 1.0,
        "volume": 1,
        "openDateTime": at,
        "openNumber": 1,
        "closeDateTime": at,
        "closeNumber": 1,
        "isFinal": False,
        "revision": 0,
        "updateDateTime": at,
        **fields,
    }
    return json.dumps(candle).encode()


def send(pipeline: Pipeline, *values: bytes, code: str = "m1") -> None:
    sender = Sender(pipeline.config)
    for value in values:
        sender.send(pipeline.topics.candles[code], [value[:40]], [value])
    assert sender.flush(30) == 0


def test_a_series_in_two_partitions(sinks: Sinks) -> None:
    # These keys put records into both partitions.
    send(sinks.pipeline, *(candle_record(volume=n) for n in range(1, 20)))
    sender = Sender(sinks.pipeline.config)
    for n in range(20):
        sender.send(
            sinks.pipeline.topics.candles["m1"], [str(n).encode()], [candle_record(volume=n + 1)]
        )
    assert sender.flush(30) == 0
    with pytest.raises(
        SplitSeries, match=r"series S:AAA of .*_1min is in partitions (0 and 1|1 and 0)"
    ):
        sinks.work_off()
    assert sinks.rows(MINUTES.name).is_empty()


def test_records_of_other_engines(sinks: Sinks) -> None:
    """Some are not candles; some have neither revision nor isFinal."""
    bare = {"isFinal": None, "revision": None, "updateDateTime": None}
    next_at = DAY + "12:01:30.000"
    send(
        sinks.pipeline,
        candle_record("AAA", volume=5, **bare),
        candle_record("AAA", volume=3, **bare),
        b"{",
        b"17",
        candle_record("BBB", open=None),
        candle_record("BBB", volume="many"),
        candle_record("BBB"),
    )
    sinks.work_off()
    rows = sinks.rows(MINUTES.name).sort("symbol")
    assert rows.select("symbol", "volume", "is_final").rows() == [
        ("AAA", 5, False),
        ("BBB", 1, False),
    ]
    later = candle_record("AAA", dateTime=DAY + "12:01:00.000", closeDateTime=next_at, **bare)
    send(sinks.pipeline, later)
    sinks.work_off()
    rows = sinks.rows(MINUTES.name).filter(symbol="AAA").sort("date_time")
    assert rows["is_final"].to_list() == [True, False]
    # The state has expired: the new candle is smaller than the previous one.
    send(sinks.pipeline, candle_record("AAA", volume=1, **bare))
    sinks.work_off()
    rows = sinks.rows(MINUTES.name).filter(symbol="AAA").sort("date_time")
    assert rows.select("volume", "is_final").rows() == [(5, True), (1, False)]
    value = sinks.metrics.registry.get_sample_value
    assert value("homma_records_invalid_total", {"interval": "1min"}) == 4
    assert value("homma_records_superseded_total", {"interval": "1min"}) == 2


def test_a_tombstone_deletes_a_candle(sinks: Sinks) -> None:
    sinks.pipeline.send(*(tick(f"{DAY}12:0{n}:00", number=n) for n in range(4)))
    sinks.pipeline.work_off()
    sinks.work_off()
    assert sinks.rows(MINUTES.name).height == 4
    topic = sinks.pipeline.topics.candles["m1"]
    keys = [m.key() for m in sinks.pipeline.records(topic) if b"12:01" in (m.key() or b"")]
    sender = Sender(sinks.pipeline.config)
    sender.send(topic, [keys[0] or b""], [None])  # type: ignore[list-item]
    assert sender.flush(30) == 0
    sinks.work_off()
    minutes = sinks.rows(MINUTES.name)["date_time"].dt.minute().sort().to_list()
    assert minutes == [0, 2, 3]
