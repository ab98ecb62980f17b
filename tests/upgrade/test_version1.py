"""An installation of format 1 is upgraded in place, and old engines keep away from it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from homma.core.calendar import DEFAULT_CODES
from homma.formats import CURRENT
from homma.topics.kafka.reading import GroupOffsets
from homma.topics.offset_metadata import OffsetMetadata, read_offset_metadata
from tests.support.machine import Machine
from tests.support.waiting import until

PARTITIONS = 2
MINUTES = "candle_1min"
#: Ticks that follow those of the installation.
MORE = ("generate", "--seed", "9", "--start", "2025-03-21T10:00:00", "--speed", "max", "--rate",
        "1", "--limit", "500", "--series", "2")  # fmt: skip


@contextmanager
def running(machine: Machine, *words: str) -> Iterator[None]:
    """Run `homma up` without the generator."""
    started = machine.homma("up", "--no-generate", "--no-serve", "--detach", *words)
    assert started.returncode == 0, started.stderr
    try:
        yield
    finally:
        assert machine.homma("down").returncode == 0


def committed(machine: Machine) -> dict[int, tuple[str, int]]:
    """The metadata and the offset that the group has committed, by partition."""
    reader = GroupOffsets({"bootstrap.servers": machine.bootstrap}, "homma", "stock_ticks")
    try:
        offsets = {number: reader.committed(number) for number in range(PARTITIONS)}
        return {n: (c.metadata, c.offset) for n, c in offsets.items() if c is not None}
    finally:
        reader.close()


def metadata(machine: Machine) -> list[OffsetMetadata]:
    return [read_offset_metadata(text, "here") for text, _ in committed(machine).values()]


def has_no_lag(machine: Machine) -> bool:
    offsets = sum(offset for _, offset in committed(machine).values())
    return offsets == machine.records("stock_ticks")


def format_of(text: str) -> int:
    return int(json.loads(text).get("format", 1))


def test_an_installation_of_format_1_is_upgraded_in_place(upgraded: Machine) -> None:
    with running(upgraded):
        before = committed(upgraded)
        assert {format_of(text) for text, _ in before.values()} == {1}
        sent = upgraded.homma(*MORE)
        assert sent.returncode == 0, sent.stderr
        until(lambda: has_no_lag(upgraded))
        after = committed(upgraded)
        assert CURRENT in {format_of(text) for text, _ in after.values()}
        runs = {m.run for m in metadata(upgraded)}
        assert runs == {read_offset_metadata(text, "here").run for text, _ in before.values()}
        assert {m.intervals for m in metadata(upgraded)} == {DEFAULT_CODES}
        until(lambda: upgraded.homma("verify").returncode == 0)
        verified = json.loads(upgraded.homma("verify", "--json").stdout)
    record = json.loads((upgraded.home / "state.json").read_text())
    assert record["format"] == CURRENT
    # The installation had 3,568 valid ticks in its lake, copies included.
    assert verified["ticks"] >= 3_568 + 500
    with running(upgraded):
        until(lambda: upgraded.homma("verify").returncode == 0)
