"""The topics in Trino: the tables of the catalog `kafka`, and the views over them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.tick import TickRules
from homma.feed.invalid import CORRUPTIONS
from homma.lake.land import records
from homma.lake.schema import TICKS, candle_table, tables
from homma.stack.servers.statements import split
from homma.topics.kafka.reading import Message
from tests.engines.conftest import ROOT, Query
from tests.support.pipeline import Pipeline, tick

pytestmark = pytest.mark.stack
RULES = TickRules(300_000_000)
#: A valid tick, and values that Trino can recognize as invalid.
VALID = json.dumps(tick("2025-03-20T14:31:28.000"), separators=(",", ":")).encode()
INVALID = [corrupt(VALID) for corrupt in CORRUPTIONS.values()]
#: The symbol of records that no query may return.
HIDDEN = "HIDDEN"


@pytest.fixture(scope="module")
def filled(pipeline: Pipeline) -> Pipeline:
    """Topics with ticks and candles, including records that no query may return."""
    now = datetime.now(UTC).replace(tzinfo=None)
    series = [(source, symbol) for source in ("S", "T") for symbol in ("AAA", "BBB", "CCC")]
    ticks: list[dict[str, Any] | bytes] = []
    for step in range(60):
        at = now - timedelta(minutes=5) + timedelta(seconds=5 * step)
        for source, symbol in series:
            stamp = at.isoformat(timespec="microseconds" if step % 2 else "milliseconds")
            optional = {} if step % 3 else {"receiveDateTime": stamp + "Z", "askMarkup": 0.1}
            price = 1 + step / 7
            ticks.append(tick(stamp, price, step, symbol=symbol, source=source, **optional))
        ticks.append(INVALID[step % len(INVALID)])
    pipeline.send(*ticks)
    pipeline.work_off()
    aborted = pipeline.foreign_transaction()
    aborted.init()
    aborted.begin()
    value = tick(now.isoformat(timespec="milliseconds"), symbol=HIDDEN)
    sent_ms = [int(now.replace(tzinfo=UTC).timestamp() * 1000)]
    aborted.send(pipeline.topics.ticks, 0, [None], [json.dumps(value).encode()], [0], [[]])
    for topic in pipeline.topics.candles.values():
        candle = dict.fromkeys(("open", "high", "low", "close", "volume"), 1) | {
            "source": "S",
            "symbol": HIDDEN,
            "dateTime": "2025-03-20T00:00:00.000",
        }
        aborted.send(topic, 0, [b"{}"], [json.dumps(candle).encode()], sent_ms, [[]])
    aborted.abort()
    tombstones = pipeline.foreign_transaction(1)
    tombstones.init()
    for topic in pipeline.topics.candles.values():
        # A tombstone for the newest candle, and an invalid record.
        messages = [message for message in pipeline.records(topic) if message.value()]
        key, partition = messages[-1].key(), messages[-1].partition()
        assert key is not None
        assert partition is not None
        tombstones.begin()
        tombstones.send(
            topic, partition, [key, b"invalid"], [None, b'{"open":[]'], sent_ms * 2, [[], []]
        )
        tombstones._producer.commit_transaction(20)
    aborted.close()
    tombstones.close()
    return pipeline


def newest(messages: list[Message]) -> pl.DataFrame:
    """The newest candles of a topic's records."""
    newest_by_key = {(m.partition(), m.key()): m for m in messages}
    rows = records.candles(list(newest_by_key.values())).records
    return rows.filter(~pl.col("is_deleted")).select(
        candle_table(DEFAULT_CALENDAR.finest).schema.names()
    )


def test_every_topic_can_be_selected(query: Query, filled: Pipeline) -> None:
    for topic in (filled.topics.ticks, *filled.topics.public_candles.values()):
        rows = query(f"SELECT * FROM kafka.market_data.{topic}")
        assert len(rows) == len(filled.records(topic)) > 0
        assert HIDDEN not in {row[1] for row in rows}


def test_the_view_of_ticks_has_the_valid_ticks(query: Query, filled: Pipeline) -> None:
    batches: dict[int, list[Message]] = {}
    for message in filled.records(filled.topics.ticks):
        batches.setdefault(message.partition() or 0, []).append(message)
    valid = records.ticks(batches, RULES)
    rows = query(f"SELECT * FROM iceberg.live.{filled.topics.ticks}")
    assert set(rows) == set(valid.rows())
    assert len(rows) == valid.height == 360


@pytest.mark.parametrize("code", DEFAULT_CALENDAR.codes)
def test_a_view_has_the_newest_record_of_each_candle(
    query: Query, filled: Pipeline, code: str
) -> None:
    topic = filled.topics.candles[code]
    messages = filled.records(topic)
    expected = newest(messages)
    rows = query(f"SELECT * FROM iceberg.live.{topic}")
    assert set(rows) == set(expected.rows())
    assert 0 < len(rows) < len(messages)
    assert HIDDEN not in expected["symbol"]


def test_the_views_have_the_columns_of_the_tables(
    query: Query, frames: dict[str, pl.DataFrame], filled: Pipeline
) -> None:
    specs = tables(DEFAULT_CALENDAR)
    for spec, topic in zip(
        specs, (filled.topics.ticks, *filled.topics.public_candles.values()), strict=True
    ):
        table, view = (
            [row[:2] for row in query(f"DESCRIBE {name}")] for name in (spec.name, f"live.{topic}")
        )
        assert view == table
    assert specs[0] is TICKS


def test_records_older_than_an_hour_are_not_read(query: Query, filled: Pipeline) -> None:
    [(plan,)] = query(f"EXPLAIN SELECT * FROM iceberg.live.{filled.topics.candles['m1']}")
    # Trino reads from that timestamp; a filter alone would read every record.
    assert "constraint={KafkaColumnHandle{name=_timestamp" in plan


def test_a_statement_ends_with_its_line() -> None:
    text = (ROOT / "deploy" / "trino" / "views.sql").read_text("utf-8")
    statements = split(text)
    assert len(statements) == 13
    assert all(s.startswith("CREATE ") and "--" not in s for s in statements)
    assert split("-- comment\nSELECT ';';\n\nSELECT 1;\n") == ["SELECT ';'", "SELECT 1"]
