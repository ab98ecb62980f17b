"""Candles from real topics."""

import uuid
from functools import partial
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient

from homma.core.calendar import DEFAULT_CALENDAR
from homma.serve.candle_feed import CandleTopics
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from tests.support.candle_records import candle_key, candle_value
from tests.support.pipeline import Pipeline, tick
from tests.support.serving import (
    candle_topics,
    get_candles,
    make_server,
    open_stream,
    running,
    wait_until_ready,
)
from tests.support.waiting import until


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap, partitions=2)


def send(pipeline: Pipeline, *records: tuple[bytes, bytes | None], interval: str = "m1") -> None:
    """Send records to a candle topic, as another engine or `homma repair` would."""
    sender = Sender(pipeline.config)
    for key, value in records:
        sender.send(pipeline.topics.candles[interval], [key], [value])  # type: ignore[list-item]
    assert sender.flush(30) == 0


def minutes(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [tick(f"2025-03-20T14:{n:02}:30", 10.0 + n, n, "A", **fields) for n in range(count)]


def test_every_interval_has_the_engines_candles(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(30))
    pipeline.work_off()
    with running(make_server(topics=candle_topics(pipeline))) as address:
        wait_until_ready(address)
        for interval in DEFAULT_CALENDAR:
            candles = get_candles(address, interval=interval.code)
            assert sum(candle["volume"] for candle in candles) == 30
        assert [c["close"] for c in get_candles(address)] == [10.0 + n for n in range(30)]
        assert httpx.get(f"{address}/api/series").json() == {
            "series": [{"source": "S", "symbol": "A", "recentTicks": 30}]
        }


def test_the_engines_sums_of_trades_are_exact(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    quote = tick("2025-03-20T14:00:05", 9.0, 9, "A")
    sizes = ["0.1", "0.2", "1e-12"]
    trades = [
        f'{{"source":"S","symbol":"A","number":{n},"dateTime":"2025-03-20T14:00:{n}0",'
        f'"price":84200.05,"size":{size}}}'.encode()
        for n, size in enumerate(sizes)
    ]
    pipeline.send(quote, *trades)
    pipeline.work_off(price="trade")
    with running(make_server(topics=candle_topics(pipeline))) as address:
        wait_until_ready(address)
        query = {"source": "S", "symbol": "A"}
        for interval in DEFAULT_CALENDAR.codes:
            text = httpx.get(f"{address}/api/candles", params={**query, "interval": interval}).text
            sums = '"volume":0.300000000001,"tickCount":3,"turnover":25260.0150000842'
            # The product of the smallest size is rounded to 12 digits.
            assert sums in text, text


def test_updates_corrections_and_deletions_are_sent(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(3))
    pipeline.work_off()
    with running(make_server(topics=candle_topics(pipeline))) as address:
        wait_until_ready(address)
        with (
            open_stream(address, interval="m1", series="S:A") as stream,
            open_stream(address) as all_series,
        ):
            with pipeline.running():
                pipeline.send(tick("2025-03-20T14:03:10", 20.0, 100, "A"))
                stream.until("candle", dateTime="2025-03-20T14:03:00.000Z", close=20.0)
                # A late tick, which corrects a final candle.
                pipeline.send(tick("2025-03-20T14:00:45", 7.0, 50, "A"))
                late = stream.until("candle", dateTime="2025-03-20T14:00:00.000Z", close=7.0)
                assert (late.data["revision"], late.data["isFinal"]) == (2, True)
                pipeline.send(tick("2025-03-20T14:03:20", 1.0, 101, "B"))
                all_series.until("candle", symbol="B")
            assert {event.data["symbol"] for event in stream.events} == {"A"}
            assert get_candles(address)[0]["close"] == 7.0
            start = "2025-03-20T14:01:00.000"
            send(pipeline, (candle_key(start), None))
            stream.until("deleted", dateTime=f"{start}Z")
            assert start + "Z" not in {c["dateTime"] for c in get_candles(address)}


def test_a_stream_resumes_after_the_last_event(pipeline: Pipeline) -> None:
    send(pipeline, (candle_key(), candle_value(close=1.0)))
    with running(make_server(topics=candle_topics(pipeline))) as address:
        wait_until_ready(address)
        with open_stream(address) as stream:
            send(pipeline, (candle_key(), candle_value(close=2.0)))
            last_id = stream.until("candle", close=2.0).id
        send(
            pipeline,
            (candle_key(), candle_value(close=3.0)),
            (candle_key(), candle_value(close=4.0)),
        )
        until(lambda: get_candles(address)[0]["close"] == 4.0)
        with open_stream(address, last_id) as stream:
            stream.until("candle", close=4.0)
            # Only the newest version.
            assert [event.data["close"] for event in stream.events] == [4.0]
        for unknown in ("another-3", "x", last_id + "0" * 15):
            with open_stream(address, unknown) as stream:
                stream.until("reset")


def test_the_server_waits_for_topics(bootstrap: str) -> None:
    config = {"bootstrap.servers": bootstrap}
    name = "later" + uuid.uuid4().hex[:10]
    settings = TopicSettings(topic=f"{name}_ticks", candle_topic=name + "_{name}")
    topic = contract.topics(settings).candles["m1"]
    topics = CandleTopics(config, Admin(config), contract.topics(settings).public_candles)
    with running(make_server(topics=topics)) as address:
        wait_until_ready(address)
        assert httpx.get(f"{address}/api/series").json() == {"series": []}
        assert httpx.get(f"{address}/api/overview").json()["series"] == []
        for close in (1.0, 2.0):
            Admin(config).ensure(contract.specs(settings, 1), 1)
            sender = Sender(config)
            sender.send(topic, [candle_key()], [candle_value(close=close)])
            assert sender.flush(30) == 0
            until(partial(has_close, address, close))
            # Created again, the topic starts with smaller offsets.
            delete(config, [spec.name for spec in contract.specs(settings, 1)])


def has_close(address: str, close: float) -> bool:
    return [c["close"] for c in get_candles(address)] == [close]


def delete(config: dict[str, str], topics: list[str]) -> None:
    client = AdminClient({**config})
    for future in client.delete_topics(topics).values():
        future.result(30)
    until(lambda: not set(topics) & Admin(config).partitions().keys())


def test_a_series_in_two_partitions_is_reported(pipeline: Pipeline) -> None:
    sender = Sender(pipeline.config)
    for partition, start in enumerate(("2025-03-20T14:01:00.000", "2025-03-20T14:02:00.000")):
        sender._producer.produce(
            pipeline.topics.candles["m1"],
            candle_value(start),
            candle_key(start),
            partition=partition,
        )
    assert sender.flush(30) == 0
    with running(make_server(topics=candle_topics(pipeline))) as address:
        wait_until_ready(address)
        until(lambda: httpx.get(f"{address}/api/series").json()["series"][0].get("split"))
        assert "homma_series_split 1.0" in httpx.get(f"{address}/metrics").text
