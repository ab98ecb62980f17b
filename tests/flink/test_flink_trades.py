"""Candles of trades, and of prices of any sign: equal to the oracle and to homma's own engine."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.fields import record_fields
from homma.core.tick import Price, kind_of
from homma.formats import CURRENT
from tests.flink.cases import Case, golden, invalid
from tests.flink.flinks import Flink, Record, accept_any_timestamp, pipeline_with_timestamps, send
from tests.flink.trade_market import market
from tests.support import oracle
from tests.support.pipeline import Pipeline

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3600)]
#: A case whose sums reach the bound: the engines differ from there on.
BEYOND = "trades.json: a tick that takes a sum to 10^26 is a dead letter, and the next one counts"
#: What only homma's own engine knows or writes.
OWN = {"isFinal", "revision", "updateDateTime"}
Text = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The ticks of a run and the candles of both engines."""

    price: Price
    prices: str
    records: list[Record]
    cases: list[Case]
    invalid: dict[str, Case]
    pipeline: Pipeline
    flink: Flink


@pytest.fixture(
    scope="module", params=[("trade", "positive"), ("trade", "any"), ("mid", "any")], ids="-".join
)
def run(
    request: pytest.FixtureRequest, bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    price, prices = request.param
    pipeline = pipeline_with_timestamps(bootstrap)
    cases, invalid_cases = golden(price, prices), invalid(price, prices)
    trades = market(3, 4_000, "M")
    if prices == "any":
        trades = [
            (key, value.replace(b'"price": ', b'"price": -'), at) for key, value, at in trades
        ] + market(4, 100, "N")
    records = [r for case in (*cases, *invalid_cases.values()) for r in case.records] + trades
    send(pipeline, records)
    flink = Flink(pipeline, tmp_path_factory.mktemp("flink"))
    accept_any_timestamp(flink.pipeline)
    flink.run_to_end("--price", price, "--prices", prices)
    pipeline.work_off(price=price, prices=prices)
    return Run(price, prices, trades, cases, invalid_cases, pipeline, flink)


def candles(pipeline: Pipeline, interval: str, prefix: str = "") -> dict[Any, Text]:
    """The newest candles by key, decimals as they were written."""
    newest: dict[Any, Text] = {}
    for message in pipeline.records(pipeline.topics.candles[interval]):
        assert message.value(), message.key()
        candle = json.loads(message.value() or b"", parse_float=Number, parse_int=Number)
        if candle["source"].startswith(prefix):
            newest[candle["source"], candle["symbol"], candle["dateTime"]] = {
                name: _value(name, value) for name, value in candle.items() if name not in OWN
            }
    return newest


class Number(str):
    """A number as it was written."""


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, Number):
        return value
    if name in ("volume", "turnover"):
        return str(value)
    return float(value) if name in ("open", "high", "low", "close") else int(value)


def expected(ticks: list[oracle.Tick], run: Run, interval: str) -> dict[Any, Text]:
    """The oracle's candles in the same form."""
    counted = oracle.counted(ticks, timedelta(minutes=10), run.price)
    rows = oracle.candles(counted, run.price, [interval]).values()
    return {
        (row["source"], row["symbol"], row["dateTime"]): row | {"volume": str(row["volume"])}
        for row in rows
    }


def test_golden_cases(run: Run) -> None:
    compared = 0
    for case in run.cases:
        if case.name == BEYOND:
            continue
        for interval in DEFAULT_CALENDAR:
            actual = candles(run.flink.pipeline, interval.code, case.prefix)
            assert actual == expected(case.ticks, run, interval.name), (case.name, interval.code)
            compared += len(actual)
    assert compared >= len(DEFAULT_CALENDAR.intervals)


def test_the_market_equals_the_oracle(run: Run) -> None:
    read = [oracle.read(value, run.prices) for _, value, _ in run.records]
    ticks = [t for t in read if isinstance(t, dict) and oracle.applies(t, run.price)]
    assert len(ticks) < len(read)
    for interval in DEFAULT_CALENDAR:
        wanted = expected(ticks, run, interval.name)
        assert wanted
        for pipeline in (run.flink.pipeline, run.pipeline):
            found = candles(pipeline, interval.code)
            assert {k: v for k, v in found.items() if k[0] in ("M", "N")} == wanted, interval


def test_the_late_ticks_are_the_same(run: Run) -> None:
    late = [
        sorted(
            (int(dict(m.headers() or ())["offset"] or 0), oracle.read(m.value(), run.prices))
            for m in pipeline.records(pipeline.topics.late)
        )
        for pipeline in (run.flink.pipeline, run.pipeline)
    ]
    assert late[0] == late[1]
    assert late[0]


def test_invalid_records_do_not_count(run: Run) -> None:
    for prefix, case in run.invalid.items():
        assert candles(run.flink.pipeline, "m1", prefix) == {}, case.name


def test_records_have_the_fields_in_order(run: Run) -> None:
    pipeline = run.flink.pipeline
    names = [field.json for field in record_fields(kind_of(run.price), CURRENT)]
    for message in pipeline.records(pipeline.topics.candles["m1"])[:500]:
        candle = json.loads(message.value() or b"")
        assert list(candle) == names
        assert json.loads(message.key() or b"") == {name: candle[name] for name in names[:3]}
        assert b" " not in (message.value() or b"")


def test_no_sum_passes_the_bound(run: Run) -> None:
    """Flink leaves out the first trade that takes a sum to 10^26, and all that follow it."""
    for case in (case for case in run.cases if case.name == BEYOND):
        [candle] = candles(run.flink.pipeline, "M1", case.prefix).values()
        assert candle["tickCount"] == 1
        assert candle["turnover"] == "6" + "0" * 25
        assert oracle.fates(case.ticks, price="trade").count("beyond") == 2
