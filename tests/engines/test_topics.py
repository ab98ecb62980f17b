"""The topics in Trino: what the catalog `kafka` has, and the views over it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from homma.core.interval import INTERVALS
from homma.feed.invalid import WAYS
from homma.lake import records
from homma.lake.schema import CANDLES, TABLES, TICKS
from homma.stack.statements import split
from homma.topics.kafka.reading import Message
from tests.aggregate.pipeline import Pipeline, tick
from tests.engines.conftest import ROOT, Query

pytestmark = pytest.mark.stack
MAX_FUTURE_US = 300_000_000
#: Values of a topic of ticks, of which Trino's tables can tell that they are none.
FINE = json.dumps(tick("2025-03-20T14:31:28.000"), separators=(",", ":")).encode()
ODD = [spoil(FINE) for spoil in WAYS.values()]
#: Where a candle stands that no transaction has committed, or that has been taken away.
NEVER = "NEVER"


@pytest.fixture(scope="module")
def filled(pipeline: Pipeline) -> Pipeline:
    """Ticks and candles; among them what must not be seen."""
    now = datetime.now(UTC).replace(tzinfo=None)
    series = [(source, symbol) for source in ("S", "T") for symbol in ("AAA", "BBB", "CCC")]
    ticks: list[dict[str, Any] | bytes] = []
    for step in range(60):
        at = now - timedelta(minutes=5) + timedelta(seconds=5 * step)
        for source, symbol in series:
            stamp = at.isoformat(timespec="microseconds" if step % 2 else "milliseconds")
            more = {} if step % 3 else {"receiveDateTime": stamp + "Z", "askMarkup": 0.1}
            price = 1 + step / 7
            ticks.append(tick(stamp, price, step, symbol=symbol, source=source, **more))
        ticks.append(ODD[step % len(ODD)])
    pipeline.send(*ticks)
    pipeline.work_off()
    rolled_back = pipeline.foreign_transaction()
    rolled_back.init()
    rolled_back.begin()
    value = tick(now.isoformat(timespec="milliseconds"), symbol=NEVER)
    sent_ms = [int(now.replace(tzinfo=UTC).timestamp() * 1000)]
    rolled_back.send(pipeline.topics.ticks, 0, [None], [json.dumps(value).encode()], [0], [[]])
    for topic in pipeline.topics.candles:
        candle = dict.fromkeys(("open", "high", "low", "close", "volume"), 1) | {
            "source": "S",
            "symbol": NEVER,
            "dateTime": "2025-03-20T00:00:00.000",
        }
        rolled_back.send(topic, 0, [b"{}"], [json.dumps(candle).encode()], sent_ms, [[]])
    rolled_back.abort()
    gone = pipeline.foreign_transaction(1)
    gone.init()
    for topic in pipeline.topics.candles:
        # A tombstone on the newest candle, and a record that is no candle.
        its = [message for message in pipeline.records(topic) if message.value()]
        key, partition = its[-1].key(), its[-1].partition()
        assert key is not None
        assert partition is not None
        gone.begin()
        gone.send(topic, partition, [key, b"odd"], [None, b'{"open":[]'], sent_ms * 2, [[], []])
        gone._producer.commit_transaction(20)
    rolled_back.close()
    gone.close()
    return pipeline


def newest(messages: list[Message]) -> pl.DataFrame:
    """The candles that a topic's records leave."""
    kept = {(m.partition(), m.key()): m for m in messages}
    found = records.candles(list(kept.values())).records
    return found.filter(~pl.col("gone")).select(CANDLES[0].schema.names())


def test_every_topic_can_be_selected(query: Query, filled: Pipeline) -> None:
    for topic in (filled.topics.ticks, *filled.topics.candles):
        rows = query(f"SELECT * FROM kafka.market_data.{topic}")
        assert len(rows) == len(filled.records(topic)) > 0
        assert NEVER not in {row[1] for row in rows}


def test_the_view_of_ticks_has_those_that_are_valid(query: Query, filled: Pipeline) -> None:
    batches: dict[int, list[Message]] = {}
    for message in filled.records(filled.topics.ticks):
        batches.setdefault(message.partition() or 0, []).append(message)
    valid = records.ticks(batches, MAX_FUTURE_US)
    found = query(f"SELECT * FROM iceberg.live.{filled.topics.ticks}")
    assert set(found) == set(valid.rows())
    assert len(found) == valid.height == 360


@pytest.mark.parametrize("code", range(len(INTERVALS)), ids=lambda code: INTERVALS[code].code)
def test_a_view_has_the_newest_record_of_each_candle(
    query: Query, filled: Pipeline, code: int
) -> None:
    topic = filled.topics.candles[code]
    messages = filled.records(topic)
    wanted = newest(messages)
    found = query(f"SELECT * FROM iceberg.live.{topic}")
    assert set(found) == set(wanted.rows())
    assert 0 < len(found) < len(messages)
    assert NEVER not in wanted["symbol"]


def test_the_views_have_the_columns_of_the_tables(
    query: Query, frames: dict[str, pl.DataFrame], filled: Pipeline
) -> None:
    for spec, topic in zip(TABLES, (filled.topics.ticks, *filled.topics.candles), strict=True):
        table, view = (
            [row[:2] for row in query(f"DESCRIBE {name}")] for name in (spec.name, f"live.{topic}")
        )
        assert view == table
    assert TABLES[0] is TICKS


def test_what_is_older_than_an_hour_is_not_read(query: Query, filled: Pipeline) -> None:
    [(plan,)] = query(f"EXPLAIN SELECT * FROM iceberg.live.{filled.topics.candles[0]}")
    # Kafka is asked from there on; the filter alone would look at every record.
    assert "constraint={KafkaColumnHandle{name=_timestamp" in plan


def test_a_statement_ends_with_its_line() -> None:
    text = (ROOT / "deploy" / "trino" / "views.sql").read_text("utf-8")
    statements = split(text)
    assert len(statements) == 13
    assert all(one.startswith("CREATE ") and "--" not in one for one in statements)
    assert split("-- said\nSELECT ';';\n\nSELECT 1;\n") == ["SELECT ';'", "SELECT 1"]
