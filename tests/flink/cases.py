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

MAX_FUTURE = timedelta(minutes=5)
#: These do not change any tick's fate or candle: when it is final is not compared.
FINALITY = {"watermarkDelay", "idleTimeout"}

#: Broken records that Flink takes for ticks, by their comments: `docs/semantics.md` lists them.
TAKEN = frozenset(
    {
        "dead: ask a string",
        "dead: bid a string",
        "dead: mid a string",
        "dead: number a string",
        "dead: number with a fraction",
        "dead: number not whole",
        "dead: number an exponent",
        "dead: an array",
        "dead: byte order mark",
        "dead: a tab in a string",
        "dead: a control character in a string",
        "dead: two objects",
        "dead: two objects on two lines",
        "dead: more after it",
        "dead: a comma after it",
        "dead: a null character after it",
        "dead: null first, of a repeated key the first counts",
        "dead: askMarkup a string",
        "dead: bidMarkup a string",
        "dead: isTradable a string",
    }
)
#: Good records of which Flink sees something else: another series, or no tick.
MISREAD = frozenset(
    {
        "of a repeated key the first counts",
        "even where the second is wrong",
    }
)


@dataclass
class Case:
    """A golden case, or a log, in its own series: `prefix` is in its sources."""

    name: str
    prefix: str
    records: list[Record] = field(default_factory=list)
    #: Valid ticks in their order, by the oracle.
    ticks: list[oracle.Tick] = field(default_factory=list)


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


def golden() -> list[Case]:
    """The golden cases with the usual settings, without their broken records."""
    found = []
    for number, case in enumerate(one for one in CASES if usual(one)):
        made = Case(f"{case['file']}: {case['name']}", f"g{number}.")
        for records, _ in acts(case):
            for record in records:
                value = renamed(record.value, made.prefix)
                read = oracle.read(value)
                apart = case["ticks"][record.index]["comment"] in MISREAD
                if apart or isinstance(read, str) or _ahead(read, record.timestamp):
                    continue
                made.records.append((None, value, us(record.timestamp) // 1000))
                made.ticks.append(read)
        found.append(made)
    return found


def broken() -> dict[str, Case]:
    """By prefix each broken record of the golden cases, in a series of its own if it has one."""
    found: dict[str, Case] = {}
    for case in (one for one in CASES if usual(one)):
        for records, _ in acts(case):
            for record in records:
                comment = case["ticks"][record.index]["comment"]
                if not comment.startswith("dead: ") and comment not in MISREAD:
                    continue
                made = Case(comment, f"d{len(found)}.")
                value = renamed(record.value, made.prefix)
                made.records.append((None, value, us(record.timestamp) // 1000))
                found[made.prefix] = made
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
