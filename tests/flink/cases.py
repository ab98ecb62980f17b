"""The golden cases and generated logs, side by side in one topic: each in series of its own."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, seed

from tests import oracle
from tests.core.effort import effort
from tests.core.frames import us
from tests.core.test_golden import CASES, DEFAULTS, acts
from tests.core.test_window_properties import Log, logs
from tests.flink.flinks import Record
from tests.oracle import Candle

MAX_FUTURE = timedelta(minutes=5)
#: These do not change any tick's fate or candle: when it is final is not compared.
FINALITY = {"lateness", "idleAfter"}

#: Broken records that Flink takes for ticks, by comment and text: `docs/semantics.md` lists them.
TAKEN = frozenset({
    "dead: ask a string", "dead: bid a string", "dead: mid a string", "dead: number a string",
    "dead: two objects", "dead: two objects on two lines", "dead: more after it",
    "dead: a comma after it", "dead: a null character after it",
    "dead: null first, of a repeated key the first counts",
})  # fmt: skip
#: Good records of which Flink sees something else.
MISREAD = frozenset({
    "of a repeated key the first counts", "even where the second is wrong",
})  # fmt: skip


@dataclass
class Case:
    """A golden case, or a log, in its own series: `prefix` is in its sources."""

    name: str
    prefix: str
    records: list[Record] = field(default_factory=list)
    #: Valid ticks in their order, by the oracle.
    ticks: list[oracle.Tick] = field(default_factory=list)
    expect: dict[str, list[Candle]] = field(default_factory=dict)


def renamed(value: bytes, prefix: str) -> bytes:
    """The record in a series of its own, where its source is written in a usual way."""
    for source in (b"S", b"T", b"R"):
        for text in (b'"source":"%s"' % source, b'"source": "%s"' % source):
            if text in value:
                own = text[:-2] + prefix.encode() + source + b'"'
                return value.replace(text, own)
    return value


def usual(case: dict[str, Any]) -> bool:
    """Whether a case runs with the settings that all share."""
    told = case.get("settings", {})
    return all(DEFAULTS[name] == value or name in FINALITY for name, value in told.items())


def golden(left_out: frozenset[str]) -> list[Case]:
    """The golden cases with the usual settings, without the records of these comments."""
    found = []
    for number, case in enumerate(one for one in CASES if usual(one)):
        made = Case(f"{case['file']}: {case['name']}", f"g{number}.")
        for records, _ in acts(case):
            for record in records:
                if case["ticks"][record.index]["comment"] in left_out:
                    continue
                value = renamed(record.value, made.prefix)
                made.records.append((None, value, us(record.timestamp) // 1000))
                read = oracle.read(value)
                if isinstance(read, dict) and not _ahead(read, record.timestamp):
                    made.ticks.append(read)
        made.expect = case["expect"]["candles"]
        found.append(made)
    return found


def _ahead(tick: oracle.Tick, timestamp: datetime) -> bool:
    return oracle.at_of(tick) - timestamp > MAX_FUTURE


def generated() -> list[Case]:
    """The logs of the window's property tests."""
    drawn: list[Log] = []

    @seed(8)
    @effort()
    @given(logs())
    def take(log: Log) -> None:
        drawn.append(log)

    take()
    found = []
    for number, log in enumerate(drawn):
        made = Case(f"log {number}", f"p{number}.")
        for tick, at in log:
            own = tick | {"source": made.prefix + tick["source"]}
            # As far ahead as they like: this is not about the future.
            stamp = max(us(at), us(oracle.at_of(own))) // 1000 + 1
            made.records.append((None, json.dumps(own).encode(), stamp))
            made.ticks.append(own)
        found.append(made)
    return found
