"""Candles out of real topics."""

import uuid
from functools import partial
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient

from homma.core.interval import INTERVALS
from homma.serve.candle_feed import CandleTopics
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from tests.aggregate.pipeline import Pipeline, tick
from tests.serve.serving import (
    candles,
    following,
    key,
    listening,
    made,
    ready,
    running,
    value,
)
from tests.stack.waiting import until


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap, partitions=2)


def put(pipeline: Pipeline, *records: tuple[bytes, bytes | None], interval: int = 0) -> None:
    """Records into a candle topic, as another engine or repair would."""
    sender = Sender(pipeline.config)
    for its_key, its_value in records:
        sender.send(pipeline.topics.candles[interval], [its_key], [its_value])  # type: ignore[list-item]
    assert sender.flush(30) == 0


def minutes(count: int, **more: Any) -> list[dict[str, Any]]:
    return [tick(f"2025-03-20T14:{n:02}:30", 10.0 + n, n, "A", **more) for n in range(count)]


def test_every_interval_has_what_the_engine_makes(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(30))
    pipeline.work_off()
    with running(made(source=following(pipeline))) as address:
        ready(address)
        for interval in INTERVALS:
            found = candles(address, interval=interval.code)
            assert sum(candle["volume"] for candle in found) == 30
        assert [c["close"] for c in candles(address)] == [10.0 + n for n in range(30)]
        assert httpx.get(f"{address}/api/series").json() == {
            "series": [{"source": "S", "symbol": "A"}]
        }


def test_updates_corrections_and_removals_are_told(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(3))
    pipeline.work_off()
    with running(made(source=following(pipeline))) as address:
        ready(address)
        with listening(address, interval="m1", series="S:A") as heard, listening(address) as all_:
            with pipeline.running():
                pipeline.send(tick("2025-03-20T14:03:10", 20.0, 100, "A"))
                heard.until("candle", dateTime="2025-03-20T14:03:00.000Z", close=20.0)
                # Late, and into a candle that is final.
                pipeline.send(tick("2025-03-20T14:00:45", 7.0, 50, "A"))
                late = heard.until("candle", dateTime="2025-03-20T14:00:00.000Z", close=7.0)
                assert (late.data["revision"], late.data["isFinal"]) == (2, True)
                pipeline.send(tick("2025-03-20T14:03:20", 1.0, 101, "B"))
                all_.until("candle", symbol="B")
            assert {event.data["symbol"] for event in heard.events} == {"A"}
            assert candles(address)[0]["close"] == 7.0
            start = "2025-03-20T14:01:00.000"
            put(pipeline, (key(start), None))
            heard.until("gone", dateTime=f"{start}Z")
            assert start + "Z" not in {c["dateTime"] for c in candles(address)}


def test_it_goes_on_where_a_client_was(pipeline: Pipeline) -> None:
    put(pipeline, (key(), value(close=1.0)))
    with running(made(source=following(pipeline))) as address:
        ready(address)
        with listening(address) as heard:
            put(pipeline, (key(), value(close=2.0)))
            last_id = heard.until("candle", close=2.0).id
        put(pipeline, (key(), value(close=3.0)), (key(), value(close=4.0)))
        until(lambda: candles(address)[0]["close"] == 4.0)
        with listening(address, last_id) as heard:
            heard.until("candle", close=4.0)
            # The newest alone.
            assert [event.data["close"] for event in heard.events] == [4.0]
        for unknown in ("another-3", "x", last_id + "0" * 15):
            with listening(address, unknown) as heard:
                heard.until("reset")


def test_it_waits_for_topics(bootstrap: str) -> None:
    config = {"bootstrap.servers": bootstrap}
    name = "later" + uuid.uuid4().hex[:10]
    settings = TopicSettings(topic=f"{name}_ticks", candle_topic=name + "_{name}")
    topic = contract.topics(settings).candles[0]
    source = CandleTopics(config, Admin(config), contract.topics(settings).candles)
    with running(made(source=source)) as address:
        ready(address)
        assert httpx.get(f"{address}/api/series").json() == {"series": []}
        assert httpx.get(f"{address}/api/overview").json()["series"] == []
        for close in (1.0, 2.0):
            Admin(config).ensure(contract.specs(settings, 1), 1)
            sender = Sender(config)
            sender.send(topic, [key()], [value(close=close)])
            assert sender.flush(30) == 0
            until(partial(shows, address, close))
            # Made again, it begins with smaller offsets.
            delete(config, [spec.name for spec in contract.specs(settings, 1)])


def shows(address: str, close: float) -> bool:
    return [c["close"] for c in candles(address)] == [close]


def delete(config: dict[str, str], topics: list[str]) -> None:
    client = AdminClient({**config})
    for future in client.delete_topics(topics).values():
        future.result(30)
    until(lambda: not set(topics) & Admin(config).partitions().keys())


def test_a_series_in_two_partitions_is_told(pipeline: Pipeline) -> None:
    sender = Sender(pipeline.config)
    for partition, start in enumerate(("2025-03-20T14:01:00.000", "2025-03-20T14:02:00.000")):
        sender._producer.produce(
            pipeline.topics.candles[0], value(start), key(start), partition=partition
        )
    assert sender.flush(30) == 0
    with running(made(source=following(pipeline))) as address:
        ready(address)
        until(lambda: httpx.get(f"{address}/api/series").json()["series"][0].get("split"))
        assert "homma_series_split 1.0" in httpx.get(f"{address}/metrics").text
