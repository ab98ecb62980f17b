"""The golden cases and generated logs in one topic, each in series of its own."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, seed

from tests.flink.flinks import Record
from tests.support import oracle
from tests.support.effort import effort
from tests.support.frames import us
from tests.support.golden import CASES, batches, settings_of
from tests.support.tick_logs import Log, logs

MAX_FUTURE = timedelta(minutes=5)

#: Comments of invalid records that Flink accepts as ticks; `docs/semantics.md` lists them.
ACCEPTED = frozenset(
    {
        "dead: ask a string",
        "dead: bid a string",
        "dead: mid a string",
        "dead: number a string",
        "dead: number with a fraction",
        "dead: number not an integer",
        "dead: number an exponent",
        "dead: an array",
        "dead: byte order mark",
        "dead: a tab in a string",
        "dead: a control character in a string",
        "dead: two objects",
        "dead: two objects on two lines",
        "dead: text after the object",
        "dead: a comma after the object",
        "dead: a null character after the object",
        "dead: null first, the first value of a repeated key counts",
        "dead: askMarkup a string",
        "dead: bidMarkup a string",
        "dead: isTradable a string",
    }
)
#: Valid records that Flink reads differently: as another series, or as no tick.
MISREAD = frozenset(
    {
        "the first value of a repeated key counts",
        "even if the second is invalid",
    }
)


@dataclass
class Case:
    """A golden case or a log, in series of its own: its sources start with `prefix`."""

    name: str
    prefix: str
    records: list[Record] = field(default_factory=list)
    #: Valid ticks in order, according to the oracle.
    ticks: list[oracle.Tick] = field(default_factory=list)


def with_prefix(value: bytes, prefix: str) -> bytes:
    """The record with a prefix in its source, if the source is written in a usual way."""
    for source in (b"S", b"T", b"R", b"CME"):
        for text in (b'"source":"%s"' % source, b'"source": "%s"' % source):
            if text in value:
                prefixed = text[: -len(source) - 1] + prefix.encode() + source + b'"'
                return value.replace(text, prefixed)
    return value


def of_price(price: str, prices: str) -> list[dict[str, Any]]:
    """The golden cases with these prices. Their other settings do not matter to the oracle."""
    return [
        case
        for case in CASES
        if (settings_of(case)["price"], settings_of(case)["prices"]) == (price, prices)
    ]


def golden(price: str = "mid", prices: str = "positive") -> list[Case]:
    """The golden cases of prices, without their invalid records."""
    cases = []
    for number, case in enumerate(of_price(price, prices)):
        own_case = Case(f"{case['file']}: {case['name']}", f"g{number}.")
        for records, _ in batches(case):
            for record in records:
                value = with_prefix(record.value, own_case.prefix)
                tick = oracle.read(value, prices)
                is_misread = case["ticks"][record.index]["comment"] in MISREAD
                if is_misread or isinstance(tick, str) or _ahead(tick, record.timestamp):
                    continue
                own_case.records.append((None, value, us(record.timestamp) // 1000))
                if oracle.applies(tick, price):
                    own_case.ticks.append(tick)
        cases.append(own_case)
    return cases


def invalid(price: str = "mid", prices: str = "positive") -> dict[str, Case]:
    """Each invalid record of the golden cases by prefix, in a series of its own if it has one."""
    cases: dict[str, Case] = {}
    for case in of_price(price, prices):
        for records, _ in batches(case):
            for record in records:
                comment = case["ticks"][record.index]["comment"]
                if not comment.startswith("dead: ") and comment not in MISREAD:
                    continue
                own_case = Case(comment, f"d{len(cases)}.")
                value = with_prefix(record.value, own_case.prefix)
                tick = oracle.read(value, prices)
                is_valid = isinstance(tick, dict) and not _ahead(tick, record.timestamp)
                if is_valid and comment not in MISREAD:
                    # Invalid only with the settings of its case, or after its other ticks.
                    continue
                own_case.records.append((None, value, us(record.timestamp) // 1000))
                cases[own_case.prefix] = own_case
    return cases


def _ahead(tick: oracle.Tick, timestamp: datetime) -> bool:
    return oracle.at_of(tick) - timestamp > MAX_FUTURE


def generated() -> list[Case]:
    """The logs of the window's property tests."""
    collected: list[Log] = []

    @seed(8)
    @effort()
    @given(logs())
    def collect(log: Log) -> None:
        collected.append(log)

    collect()
    cases = []
    for number, log in enumerate(collected):
        case = Case(f"log {number}", f"p{number}.")
        for tick, at in log:
            prefixed = tick | {"source": case.prefix + tick["source"]}
            # No tick is too far in the future: these cases do not test that rule.
            stamp = max(us(at), us(oracle.at_of(prefixed))) // 1000 + 1
            case.records.append((None, json.dumps(prefixed).encode(), stamp))
            case.ticks.append(prefixed)
        cases.append(case)
    return cases
