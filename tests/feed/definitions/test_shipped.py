"""Each definition that homma ships reads a sample of its feed."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.decimals import plain_text
from homma.feed.definitions.catalog import shipped
from homma.feed.instants import format_instant
from homma.feed.recorded import ColumnMapping
from homma.feed.replay import Recording
from tests.support.real_ticks import FOLDER

TRADE = ("symbol", "price", "size", "side", "number", "dateTime")
QUOTE = ("symbol", "bid", "ask", "mid", "dateTime")
#: By definition: the name of a file, its content, the fields to compare, and the ticks in it.
SAMPLES: dict[str, tuple[str, str, tuple[str, ...], list[tuple[Any, ...]]]] = {
    "alpaca_trades": (
        "m.ndjson",
        '[{"T":"success","msg":"connected"}]\n'
        '[{"T":"t","S":"AAPL","i":52983525029461,"x":"D","p":126.55,"s":1,'
        '"t":"2021-02-22T15:51:44.208123456Z","c":["@","I"],"z":"A"},'
        '{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"X","ap":87.68,"as":4,'
        '"t":"2021-02-22T15:51:45.335Z"}]\n',
        TRADE[:3] + TRADE[4:],
        [("AAPL", 126.55, "1", 52983525029461, "2021-02-22T15:51:44.208123")],
    ),
    "alpaca_quotes": (
        "m.ndjson",
        '[{"T":"t","S":"AAPL","i":5,"p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z"},'
        '{"T":"q","S":"AMD","bp":87.66,"ap":87.68,"t":"2021-02-22T15:51:45.335Z"}]\n',
        QUOTE,
        [("AMD", 87.66, 87.68, 87.67, "2021-02-22T15:51:45.335")],
    ),
    "binance": (
        "m.ndjson",
        '{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100",'
        '"T":1672515782136,"m":true,"M":true}\n'
        '{"stream":"bnbbtc@trade","data":{"e":"trade","s":"BNBBTC","t":12346,"p":"0.002",'
        '"q":"0.5","T":1672515782137,"m":false}}\n{"result":null,"id":1}\n',
        TRADE,
        [
            ("BNBBTC", 0.001, "100", "sell", 12345, "2022-12-31T19:43:02.136"),
            ("BNBBTC", 0.002, "0.5", "buy", 12346, "2022-12-31T19:43:02.137"),
        ],
    ),
    "binance_aggregated": (
        "m.ndjson",
        '{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":77,"p":"0.001","q":"100","f":100,'
        '"l":105,"T":1672515782136,"m":true,"M":true}\n',
        TRADE,
        [("BNBBTC", 0.001, "100", "sell", 77, "2022-12-31T19:43:02.136")],
    ),
    "binance_dump": (
        "BTCUSDT-trades.csv",
        "id,price,qty,quote_qty,time,is_buyer_maker\n"
        "1,42283.58,0.00235,99.366413,1704067200000,True\n"
        "2,42283.59,0.5,21141.795,1735689600000123,false\n",
        TRADE,
        [
            ("X", 42283.58, "0.00235", "sell", 1, "2024-01-01T00:00:00.000"),
            ("X", 42283.59, "0.5", "buy", 2, "2025-01-01T00:00:00.000123"),
        ],
    ),
    "bybit_dump": (
        "BTCUSDT.csv",
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID\n"
        "1704067200.1234,BTCUSDT,Sell,0.006,42324.9,ZeroMinusTick,3bd0bcb7-0fc0\n",
        ("symbol", "price", "size", "side", "dateTime"),
        [("BTCUSDT", 42324.9, "0.006", "sell", "2024-01-01T00:00:00.123400")],
    ),
    "coinbase": (
        "m.ndjson",
        '{"type":"subscriptions","channels":[]}\n\n'
        '{"type":"match","trade_id":10,"sequence":50,"time":"2014-11-07T08:19:27.028459Z",'
        '"product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}\n',
        TRADE,
        [("BTC-USD", 400.23, "5.23512", "buy", 10, "2014-11-07T08:19:27.028459")],
    ),
    "coinbase_dump": (
        "trades.json",
        '[\n {"trade_id": 74, "side": "sell", "size": "0.01", "price": "10.00",\n'
        '  "time": "2014-11-07T22:19:28.578544Z"}\n]\n',
        TRADE,
        [("X", 10.0, "0.01", "buy", 74, "2014-11-07T22:19:28.578544")],
    ),
    "coinbase_quotes": (
        "m.ndjson",
        '{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22",'
        '"best_bid":"1285.04","best_ask":"1285.27","time":"2022-10-19T23:28:22.061769Z"}\n',
        QUOTE,
        [("ETH-USD", 1285.04, 1285.27, 1285.155, "2022-10-19T23:28:22.061769")],
    ),
    "databento": (
        "trades.csv",
        "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,"
        "ts_in_delta,sequence,symbol\n"
        "1715000000123456999,1715000000123456789,0,1,5602,T,A,0,5187250000000,3,0,9,7,ESM4\n"
        "1715000000123456999,1715000000123456789,0,1,5602,C,A,0,5187250000000,3,0,9,8,ESM4\n"
        "1715000000123456999,1715000000123456789,0,1,5602,T,N,0,5187500000000,1,0,9,9,ESM4\n",
        TRADE,
        [
            ("ESM4", 5187.25, "3", "sell", 7, "2024-05-06T12:53:20.123456"),
            ("ESM4", 5187.5, "1", None, 9, "2024-05-06T12:53:20.123456"),
        ],
    ),
    "dukascopy": (
        "EURUSD.csv",
        "Time (UTC),Ask,Bid,AskVolume,BidVolume\n2024.05.06 10:00:01.482,1.07551,1.07549,1,1\n",
        QUOTE,
        [("X", 1.07549, 1.07551, 1.0755, "2024-05-06T10:00:01.482")],
    ),
    "histdata": (
        "DAT_ASCII_EURUSD_T_202402.csv",
        "20240201 000003660,1.081600,1.081770,0\n20240702 000003660,1.081600,1.081770,0\n",
        QUOTE,
        [
            ("X", 1.0816, 1.08177, 1.081685, "2024-02-01T05:00:03.660"),
            ("X", 1.0816, 1.08177, 1.081685, "2024-07-02T05:00:03.660"),
        ],
    ),
    "kraken_dump": (
        "XBTUSD.csv",
        "1381095255,122.00000,0.10000000\n1618678132.9348,59000.1,0.00000001\n",
        ("symbol", "price", "size", "dateTime"),
        [
            ("X", 122.0, "0.1", "2013-10-06T21:34:15.000"),
            ("X", 59000.1, "0.00000001", "2021-04-17T16:48:52.934800"),
        ],
    ),
    "metatrader": (
        "EURUSD.csv",
        "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\n"
        "2024.05.06\t10:00:01.482\t1.07549\t1.07551\t\t\n2024.05.06\t10:00:02.000\t1.07550\t\t\t\n",
        QUOTE,
        [
            ("X", 1.07549, 1.07551, 1.0755, "2024-05-06T10:00:01.482"),
            ("X", 1.0755, 1.07551, 1.075505, "2024-05-06T10:00:02.000"),
        ],
    ),
    "oanda": (
        "m.ndjson",
        '{"type":"HEARTBEAT","time":"2016-09-20T15:05:50.163791738Z"}\n'
        '{"type":"PRICE","time":"2016-09-20T15:05:47.960449532Z","instrument":"EUR_CAD",'
        '"tradeable":false,"bids":[{"price":"1.44781","liquidity":10000000}],'
        '"asks":[{"price":"1.44814","liquidity":10000000}]}\n',
        (*QUOTE, "isTradable"),
        [("EURCAD", 1.44781, 1.44814, 1.447975, "2016-09-20T15:05:47.960449", False)],
    ),
    "okx_dump": (
        "trades.csv",
        "instrument_name,trade_id,side,price,size,created_time\n"
        "BTC-USDT,483061529,SELL,42298.7,0.0002,1704067200123\n",
        TRADE,
        [("BTC-USDT", 42298.7, "0.0002", "sell", 483061529, "2024-01-01T00:00:00.123")],
    ),
    "polygon_quotes": (
        "m.ndjson",
        '[{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,'
        '"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}]\n',
        QUOTE,
        [("MSFT", 114.125, 114.128, 114.1265, "2018-09-04T04:53:38.784")],
    ),
    "polygon_trades": (
        "m.ndjson",
        '[{"ev":"status","status":"connected"}]\n'
        '[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],'
        '"t":1536036818784,"q":3681328}]\n',
        ("symbol", "price", "size", "number", "dateTime"),
        [("MSFT", 114.125, "100", 3681328, "2018-09-04T04:53:38.784")],
    ),
    "truefx": (
        "EURUSD-2024-05.csv",
        "EUR/USD,20240506 08:00:00.212,1.07651,1.07655\n",
        QUOTE,
        [("EURUSD", 1.07651, 1.07655, 1.07653, "2024-05-06T08:00:00.212")],
    ),
}
#: Tested with records of Kafka, which have the time.
OF_KAFKA_ONLY = {"stock_trades"}


def read(name: str, path: Path) -> pl.DataFrame:
    definition = shipped()[name].definition
    frames = list(Recording([path], ColumnMapping(symbol="X", definition=definition)).frames())
    return pl.concat(frames).with_columns(dateTime=format_instant(pl.col("event_us")))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_gives_its_ticks(name: str, tmp_path: Path) -> None:
    file_name, content, fields, expected = SAMPLES[name]
    path = tmp_path / file_name
    path.write_text(content)
    ticks = read(name, path).select(fields)
    rows = [
        tuple(plain_text(v) if f == "size" else v for f, v in zip(fields, row, strict=True))
        for row in ticks.iter_rows()
    ]
    assert rows == expected


def test_every_definition_has_a_sample() -> None:
    assert set(SAMPLES) | OF_KAFKA_ONLY == set(shipped())


#: What a WebSocket sent: the definition, and how many ticks there are.
CAPTURES = [
    ("COINBASE.ws.28.0", "coinbase", '"type":"match"|"type":"last_match"'),
    ("COINBASE.ws.28.0", "coinbase_quotes", '"type":"ticker"'),
    ("BINANCE_US.ws.1.0", "binance_aggregated", '"e":"aggTrade"'),
]


@pytest.mark.skipif(not FOLDER.exists(), reason="the captures are missing (../shared/data)")
@pytest.mark.parametrize(("capture", "name", "pattern"), CAPTURES)
def test_every_message_of_a_capture_is_a_tick(
    capture: str, name: str, pattern: str, tmp_path: Path
) -> None:
    received = [
        line.split(": ", 1)[1]
        for line in (FOLDER / "captures" / capture).read_text().splitlines()
        if line[:1].isdigit()
    ]
    path = tmp_path / "capture.ndjson"
    path.write_text("\n".join(received) + "\n")
    expected = int(pl.Series(received).str.contains(pattern).sum())
    assert read(name, path).height == expected > 0
