"""The topics in Trino: the tables of the catalog `kafka`, and the views over them."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.candle import base_candles, order_key, roll_up
from homma.core.tick import TickRules, instant_us, measures, with_turnover
from homma.feed.invalid import CORRUPTIONS
from homma.lake.land import records
from homma.lake.schema import TICKS, candle_table
from homma.rendered import trino
from homma.stack.servers.statements import split
from homma.topics import codec
from homma.topics.kafka.reading import Message
from homma.topics.kafka.writing import Sender
from tests.engines.conftest import ROOT, Query
from tests.engines.views import as_view
from tests.support.pipeline import Pipeline, tick

pytestmark = pytest.mark.stack
RULES = TickRules(300_000_000)
#: A valid tick, and values that Trino can recognize as invalid.
VALID = json.dumps(tick("2025-03-20T14:31:28.000"), separators=(",", ":")).encode()
INVALID = [corrupt(VALID) for corrupt in CORRUPTIONS.values()]
#: The symbol of records that no query may return.
HIDDEN = "HIDDEN"
#: Trades, whose sizes are written in different ways, and a trade that is a quote, too.
TRADES: list[dict[str, str]] = [
    {"price": "1.5", "size": "0.123456789012", "side": '"buy"'},
    {"price": "1.5", "size": "123456789012345678.123456789012"},
    {"price": "999999999999", "size": "1e3", "side": '"sell"'},
    {"price": "1e-9", "size": "2.500000000000000000"},
    {"price": "2", "size": '"0.10"'},
    {"price": "2", "size": "0"},
    {"price": "2", "size": "null", "ask": "null"},
    {"price": "2", "size": "3", "ask": "2.5", "bid": "1.5", "mid": "2"},
    {"price": "2.25"},
]
#: Records that are no valid ticks because of a field of trades, or because they lack one.
NO_TRADES: list[dict[str, str]] = [
    {},
    {"size": "1"},
    {"side": '"buy"'},
    {"price": "0"},
    {"price": "-1"},
    {"price": "1e12"},
    {"price": "NaN"},
    {"price": '"high"'},
    {"price": "[1]"},
    {"price": "1", "size": "-1"},
    {"price": "1", "size": "0.1234567890123"},
    {"price": "1", "size": "1e18"},
    {"price": "1", "size": "[1]"},
    {"price": "1", "size": '"much"'},
    {"price": "1", "side": '"BUY"'},
    {"price": "1", "side": '""'},
    {"price": "100000000000", "size": "10000000000000000"},
    {"price": "1", "bid": "1"},
    {"price": "1", "bid": "1", "ask": "1.5", "mid": "-1"},
    {"ask": "1.5", "bid": "1", "mid": "1", "size": "1"},
]


def written(fields: dict[str, str], number: int) -> bytes:
    """A record with these fields, whose values are written as they are."""
    at = f"2025-03-20T14:31:28.{number:06}"
    named = {"source": '"S"', "symbol": '"TTT"', "number": str(number), "dateTime": f'"{at}"'}
    pairs = (f'"{name}":{value}' for name, value in (named | fields).items())
    return f"{{{','.join(pairs)}}}".encode()


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
    ticks += [written(fields, number) for number, fields in enumerate((*TRADES, *NO_TRADES))]
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
    send_candles_of_trades(pipeline)
    return pipeline


def send_candles_of_trades(pipeline: Pipeline) -> None:
    """Candles with more digits than a double, as an engine for trades writes them."""
    ticks = codec.decode_ticks([written(fields, n) for n, fields in enumerate(TRADES)])
    at_us = instant_us(pl.col("dateTime"))
    keyed = with_turnover(ticks).select(
        pl.lit(0, pl.UInt32).alias("series"),
        at_us.alias("event_us"),
        order_key(at_us, pl.col("number")).alias("order_key"),
        *measures("trade"),
    )
    calendar = pipeline.topics.calendar
    candles = roll_up(base_candles(keyed, calendar.base), calendar.intervals).with_columns(
        source=pl.lit("S"), symbol=pl.lit("VVV"), is_final=pl.lit(value=True), revision=1
    )
    sender = Sender(pipeline.config)
    for (code,), part in candles.group_by("interval"):
        topic = pipeline.topics.candles[str(code)]
        keys, values = codec.encode_candles(part, 0, "trade")
        sender.send(topic, keys, values)
        # Records that are no candles: their volume or turnover is no decimal.
        [value] = values
        for name in (b"volume", b"turnover"):
            wrong, count = re.subn(b'"%b":[0-9.]+' % name, b'"%b":"much"' % name, value)
            assert count == 1
            sender.send(topic, [name], [wrong.replace(b"VVV", b"WRONG")])
    assert sender.flush(30) == 0


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
    assert len(rows) == valid.height == 360 + len(TRADES)
    trades = valid.filter(pl.col("price").is_not_null())
    assert Decimal("123456789012345678.123456789012") in trades["size"].to_list()


def test_a_view_of_ticks_for_any_prices(query: Query, filled: Pipeline) -> None:
    rules = TickRules(RULES.max_future_us, prices="any")
    batches: dict[int, list[Message]] = {}
    for message in filled.records(filled.topics.ticks):
        batches.setdefault(message.partition() or 0, []).append(message)
    valid = records.ticks(batches, rules)
    _, statement, *_ = split(trino.files(DEFAULT_CALENDAR, prices="any")["views.sql"])
    query(statement.replace("iceberg.live.stock_ticks", "iceberg.live.ticks_of_any_prices"))
    rows = query("SELECT * FROM iceberg.live.ticks_of_any_prices")
    assert set(rows) == set(valid.rows())
    assert len(rows) > 360 + len(TRADES)


@pytest.mark.parametrize("code", DEFAULT_CALENDAR.codes)
def test_a_view_has_the_newest_record_of_each_candle(
    query: Query, filled: Pipeline, code: str
) -> None:
    topic = filled.topics.candles[code]
    messages = filled.records(topic)
    expected = newest(messages)
    rows = query(f"SELECT * FROM iceberg.live.{topic}")
    assert set(rows) == set(as_view(expected))
    assert 0 < len(rows) < len(messages)
    assert HIDDEN not in expected["symbol"]
    [(volume, turnover)] = query(
        f"SELECT volume, turnover FROM iceberg.live.{topic} WHERE symbol = 'VVV'"
    )
    # The sizes above, of which an absent one is 1, and their products with the prices.
    assert volume == Decimal("123456789012346685.846913578024")
    assert turnover == Decimal("186185183518517527.820370369536")


def test_the_views_of_topics_have_the_columns_of_the_lakes(
    query: Query, frames: dict[str, pl.DataFrame], filled: Pipeline
) -> None:
    for statement in split((ROOT / "deploy" / "trino" / "lake-views.sql").read_text("utf-8")):
        query(statement)
    names = {topic: f"lake.{topic}" for topic in filled.topics.public_candles.values()}
    for topic, lake in {filled.topics.ticks: TICKS.name, **names}.items():
        live, of_lake = (
            [row[:2] for row in query(f"DESCRIBE {name}")] for name in (f"live.{topic}", lake)
        )
        assert live == of_lake


def test_records_older_than_an_hour_are_not_read(query: Query, filled: Pipeline) -> None:
    [(plan,)] = query(f"EXPLAIN SELECT * FROM iceberg.live.{filled.topics.candles['m1']}")
    # Trino reads from that timestamp; a filter alone would read every record.
    assert "constraint={KafkaColumnHandle{name=_timestamp" in plan


def test_a_statement_ends_with_its_line() -> None:
    for name, count in (("views.sql", 13), ("lake-views.sql", 12)):
        statements = split((ROOT / "deploy" / "trino" / name).read_text("utf-8"))
        assert len(statements) == count
        assert all(s.startswith("CREATE ") and "--" not in s for s in statements)
    assert split("-- comment\nSELECT ';';\n\nSELECT 1;\n") == ["SELECT ';'", "SELECT 1"]
