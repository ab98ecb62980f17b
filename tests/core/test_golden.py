"""The golden cases (tests/golden/README.md) on the window, and on the oracle."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pytest

from homma.core.calendar import calendar_of
from homma.core.finality import FinalityRules
from homma.core.interval import CLOCK
from homma.core.tick import TickRules, applicable, check
from homma.core.traded_sums import BEYOND
from homma.core.window import Window, WindowRules
from homma.topics.codec import decode_ticks
from tests.support import oracle
from tests.support.frames import as_records, us
from tests.support.golden import CASES, DEFAULTS, Case, batches, settings_of
from tests.support.oracle import Candle, Key

NAMED = [pytest.param(case, id=f"{case['file']}: {case['name']}") for case in CASES]


@dataclass
class Outcome:
    """The results of a case."""

    candles: dict[Key, Candle]
    dead: dict[int, str]
    late: list[int]
    duplicates: int


def run_oracle(case: Case) -> Outcome:
    settings = settings_of(case)
    publisher = oracle.Publisher(
        settings["price"],
        allowed_lateness=timedelta(seconds=settings["allowedLateness"]),
        watermark_delay=timedelta(seconds=settings["watermarkDelay"]),
        idle_timeout=timedelta(seconds=settings["idleTimeout"]),
        intervals=tuple(oracle.NAME_OF[code] for code in settings["intervals"]),
    )
    max_future = timedelta(seconds=settings["maxFuture"])
    valid: list[int] = []
    dead: dict[int, str] = {}
    for records, clock in batches(case):
        for record in records:
            tick = oracle.read(record.value, settings["prices"])
            if isinstance(tick, str):
                dead[record.index] = tick
            elif oracle.at_of(tick) - record.timestamp > max_future:
                dead[record.index] = "dateTime"
            elif oracle.applies(tick, publisher.price):
                valid.append(record.index)
                publisher.apply(tick, record.timestamp)
        publisher.publish(clock)
    fates = oracle.fates(publisher.ticks, publisher.allowed_lateness, publisher.price)
    pairs = list(zip(valid, fates, strict=True))
    dead |= {index: "size" for index, fate in pairs if fate == "beyond"}
    late = [index for index, fate in pairs if fate == "late"]
    return Outcome(publisher.published, dead, late, fates.count("duplicate"))


def run_window(case: Case, size: int | None) -> Outcome:
    """All records between two clock steps in one batch, or `size` records per batch."""
    settings = settings_of(case)
    second = 1_000_000
    window = Window(
        WindowRules(
            price=settings["price"],
            calendar=calendar_of(settings["intervals"]),
            finality=FinalityRules(
                allowed_lateness_us=settings["allowedLateness"] * second,
                watermark_delay_us=settings["watermarkDelay"] * second,
                idle_timeout_us=settings["idleTimeout"] * second,
            ),
        )
    )
    outcome = Outcome({}, {}, [], 0)
    for records, clock in batches(case):
        step = size or max(1, len(records))
        for start in range(0, len(records), step):
            batch = records[start : start + step]
            raw = decode_ticks([record.value for record in batch], settings["prices"]).with_columns(
                timestamp_us=pl.Series([us(r.timestamp) for r in batch], dtype=pl.Int64),
                offset=pl.Series([r.index for r in batch], dtype=pl.Int64),
            )
            checked = check(raw, TickRules(settings["maxFuture"] * second, settings["prices"]))
            is_valid = pl.col("error").is_null()
            outcome.dead |= dict(checked.filter(~is_valid).select("offset", "error").rows())
            valid = applicable(checked.filter(is_valid), settings["price"])
            window, applied = window.apply(valid)
            outcome.dead |= dict.fromkeys(applied.beyond["offset"].to_list(), BEYOND)
            outcome.late += applied.dropped_late["offset"].to_list()
            outcome.duplicates += applied.duplicates
        window, published = window.publish(us(clock))
        is_chosen = pl.col("interval").is_in(settings["intervals"])
        outcome.candles |= as_records(published.filter(is_chosen), settings["price"])
        # The base is not published; months are always aggregated.
        assert set(published.filter(~is_chosen)["interval"]) <= {CLOCK.code}
    return outcome


def assert_expected(case: Case, outcome: Outcome) -> None:
    expect = case["expect"]
    reasons = {entry["tick"]: entry["reason"] for entry in expect["dead"]}
    assert {i: case["ticks"][i]["comment"] for i in outcome.dead} == {
        i: case["ticks"][i]["comment"] for i in reasons
    }
    for index, reason in reasons.items():
        assert outcome.dead[index].startswith(reason), case["ticks"][index]
    assert outcome.late == expect["late"]
    assert outcome.duplicates == expect["duplicates"]
    for interval, candles in expect["candles"].items():
        actual = [outcome.candles[key] for key in sorted(outcome.candles) if key[0] == interval]
        assert actual == candles, interval


@pytest.mark.parametrize("case", NAMED)
def test_the_oracle_gives_the_expected_candles(case: Case) -> None:
    assert_expected(case, run_oracle(case))


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.parametrize("size", [None, 1, 3], ids=["one batch", "batches of 1", "batches of 3"])
def test_the_window_gives_the_expected_candles(case: Case, size: int | None) -> None:
    assert_expected(case, run_window(case, size))


def test_the_cases_are_well_formed() -> None:
    """The format that runners for other engines rely on."""
    assert len({(case["file"], case["name"]) for case in CASES}) == len(CASES) > 50
    for case in CASES:
        assert set(case) <= {"file", "name", "settings", "ticks", "expect"}
        assert set(case.get("settings", {})) <= set(DEFAULTS)
        assert set(case["expect"]) == {"candles", "dead", "late", "duplicates"}
        chosen = {oracle.NAME_OF[code] for code in settings_of(case)["intervals"]}
        assert set(case["expect"]["candles"]) <= chosen
        for step in case["ticks"]:
            assert len({"record", "text", "base64", "advance"} & set(step)) == 1
            assert set(step) <= {"comment", "record", "text", "base64", "advance", "timestamp"}


def test_every_default_interval_is_covered() -> None:
    expectations = [case["expect"]["candles"].items() for case in CASES]
    covered = {name for candles in expectations for name, rows in candles if rows}
    assert covered >= set(oracle.NAMES)
