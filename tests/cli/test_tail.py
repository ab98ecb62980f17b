"""`homma tail` on a real broker."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from homma.cli.intervals import parse_interval
from homma.cli.main import homma
from homma.core.calendar import DEFAULT_CALENDAR, calendar_of
from homma.errors import KafkaError, SettingError
from homma.topics.kafka.follower import Follower
from homma.topics.kafka.reading import GroupOffsets
from homma.topics.kafka.writing import Sender, Transactions
from tests.support.pipeline import Pipeline, tick, until

CSI = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)")


@pytest.fixture
def pipeline(bootstrap: str) -> Pipeline:
    return Pipeline(bootstrap, partitions=2)


def flags(pipeline: Pipeline) -> list[str]:
    return ["--bootstrap.servers", pipeline.bootstrap, "--candle-topic", pipeline.name + "_{name}"]


def once(pipeline: Pipeline, *args: str, json_lines: bool = True) -> Result:
    more = ["--json"] if json_lines else []
    return CliRunner().invoke(homma, ["tail", *args, *flags(pipeline), "--once", *more])


def candles_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def minutes(count: int, symbol: str = "AAA", source: str = "S", price: float = 10) -> list[Any]:
    """One tick in the middle of each of `count` minutes."""
    return [
        tick(f"2025-03-20T{9 + n // 60:02}:{n % 60:02}:30", price + n, n, symbol, source)
        for n in range(count)
    ]


def candle(minute: int, **overrides: Any) -> dict[str, Any]:
    fields = {
        "source": "S",
        "symbol": "AAA",
        "dateTime": f"2025-03-20T{9 + minute // 60:02}:{minute % 60:02}:00.000",
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 1,
        "isFinal": True,
        "revision": 1,
    }
    return fields | overrides


def key(candle: dict[str, Any]) -> bytes:
    return json.dumps([candle["source"], candle["symbol"], candle["dateTime"]]).encode()


def write(pipeline: Pipeline, *candles: dict[str, Any], deleted: bool = False) -> None:
    """Write candle records of 1min, or their tombstones, and commit them."""
    producer = begin_write(pipeline, *candles, deleted=deleted)
    producer.commit(pipeline.topics.ticks, 0, 0, "", group_metadata(pipeline))
    producer.close()


def begin_write(
    pipeline: Pipeline, *candles: dict[str, Any], deleted: bool = False
) -> Transactions:
    """Write the records in a transaction that is left open."""
    producer = Transactions(pipeline.config, pipeline.name, 60_000)
    producer.init()
    producer.begin()
    values = [None if deleted else json.dumps(c).encode() for c in candles]
    # Retention would delete records with old dates.
    now_ms = time.time_ns() // 1_000_000
    keys, dates = [key(c) for c in candles], [now_ms] * len(candles)
    producer.send(pipeline.topics.candles["m1"], 0, keys, values, dates, [[]] * len(keys))
    return producer


def group_metadata(pipeline: Pipeline) -> object:
    reader = GroupOffsets(pipeline.config, pipeline.name + "-test", pipeline.topics.ticks)
    try:
        return reader.group_metadata()
    finally:
        reader.close()


def test_tail_shows_the_engines_candles(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(30), *minutes(30, "BBB"))
    pipeline.work_off()
    candles = candles_of(once(pipeline, "m1", "AAA", "--last", "5"))
    assert [c["open"] for c in candles] == [35, 36, 37, 38, 39]
    assert {c["symbol"] for c in candles} == {"AAA"}
    assert [c["isFinal"] for c in candles] == [True] * 4 + [False]
    [hour] = candles_of(once(pipeline, "h1", "AAA"))
    assert (hour["open"], hour["close"], hour["volume"]) == (10, 39, 30)


def test_m1_is_a_minute_and_uppercase_m1_a_month(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(2))
    pipeline.work_off()
    [month] = candles_of(once(pipeline, "M1", "AAA"))
    assert month["dateTime"] == "2025-03-01T00:00:00.000"
    assert len(candles_of(once(pipeline, "m1", "AAA"))) == 2


def test_an_unknown_interval_is_wrong_usage() -> None:
    for code in ("x1", "M5", "1min", "d1"):
        result = CliRunner().invoke(homma, ["tail", code, "AAA"])
        assert isinstance(result.exception, SettingError)
        assert all(f" {i.code} " in f" {result.exception} " for i in DEFAULT_CALENDAR)
    run = subprocess.run(
        [sys.executable, "-m", "homma", "tail", "M5"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1


def test_an_interval_that_was_not_chosen_is_wrong_usage() -> None:
    calendar = calendar_of(["s1", "m20", "h2", "D1"])
    assert parse_interval("h2", calendar).name == "2hour"
    for wrong in ("m1", "M1", "S1"):
        with pytest.raises(SettingError) as refusal:
            parse_interval(wrong, calendar)
        assert str(refusal.value) == (
            f"{wrong} is not one of the intervals; choose one of s1 m20 h2 D1, or set --intervals"
        )
    result = CliRunner().invoke(homma, ["tail", "m1", "AAA", "--intervals", "s1,m20"])
    assert isinstance(result.exception, SettingError)
    assert " s1 m20, " in str(result.exception)


def test_the_most_recent_source_is_shown_unless_one_is_named(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(3, source="S1"), *minutes(5, source="S2"), *minutes(2, source="S3"))
    pipeline.work_off()
    assert {c["source"] for c in candles_of(once(pipeline, "m1", "AAA"))} == {"S2"}
    assert {c["source"] for c in candles_of(once(pipeline, "m1", "AAA", "--source", "S3"))} == {
        "S3"
    }


def test_without_a_symbol_the_newest_candle_of_every_series_is_shown(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(3), *minutes(2, "BBB"), *minutes(4, source="S2"))
    pipeline.work_off()
    rows = [(c["symbol"], c["source"], c["open"]) for c in candles_of(once(pipeline, "m1"))]
    assert rows == [("AAA", "S", 12), ("AAA", "S2", 13), ("BBB", "S", 11)]


def test_the_error_for_an_unknown_series_lists_the_known_ones(pipeline: Pipeline) -> None:
    pipeline.send(*minutes(2))
    pipeline.work_off()
    result = once(pipeline, "m1", "aaa")
    assert isinstance(result.exception, KafkaError)
    assert "AAA (S)" in str(result.exception)


def test_the_error_for_a_missing_topic_names_it(bootstrap: str) -> None:
    result = CliRunner().invoke(
        homma, ["tail", "m1", "--candle-topic", "nope_{name}", "--bootstrap.servers", bootstrap]
    )
    assert isinstance(result.exception, KafkaError)
    assert "nope_1min" in str(result.exception)


def test_the_newest_record_of_a_candle_wins_even_a_tombstone(pipeline: Pipeline) -> None:
    candles = [candle(n, close=1.0) for n in range(4)]
    write(pipeline, *candles)
    write(pipeline, candles[1] | {"close": 9.0, "revision": 2})
    write(pipeline, candles[2], deleted=True)
    rows = [(c["dateTime"][14:16], c["close"]) for c in candles_of(once(pipeline, "m1", "AAA"))]
    assert rows == [("00", 1.0), ("01", 9.0), ("03", 1.0)]


def test_only_committed_candles_are_shown(pipeline: Pipeline) -> None:
    write(pipeline, candle(0))
    transaction = begin_write(pipeline, candle(1))
    try:
        candles = candles_of(once(pipeline, "m1", "AAA"))
        assert [c["dateTime"] for c in candles] == [candle(0)["dateTime"]]
    finally:
        transaction.abort()
        transaction.close()
    assert len(candles_of(once(pipeline, "m1", "AAA"))) == 1


def write_busy_series(pipeline: Pipeline, count: int) -> None:
    """Write candles of a series that is busier than AAA, to both partitions."""
    sender, topic = Sender(pipeline.config), pipeline.topics.candles["m1"]
    candles = [candle(n % 600, symbol="BUSY", volume=n + 1) for n in range(count)]
    sender.send(
        topic,
        [str(n).encode() for n in range(count)],
        [json.dumps(c).encode() for c in candles],
    )
    assert sender.flush(60) == 0


def test_a_large_topic_is_read_from_its_end(pipeline: Pipeline) -> None:
    write(pipeline, *(candle(n) for n in range(3)))
    write_busy_series(pipeline, 12_000)
    follower = Follower(pipeline.config, pipeline.topics.candles["m1"])
    try:
        steps = list(follower.steps())
        first_count = sum(len(batch) for batch in follower.read(steps[0]))
        total_count = sum(len(batch) for step in steps for batch in follower.read(step))
    finally:
        follower.close()
    assert len(steps) > 1
    assert 0 < first_count <= 2_000
    assert total_count == 12_003  # no record is read by two steps
    assert len(candles_of(once(pipeline, "m1", "BUSY", "--last", "7"))) == 7
    # A quiet series is found, too.
    assert len(candles_of(once(pipeline, "m1", "AAA"))) == 3


@contextlib.contextmanager
def running_tail(pipeline: Pipeline, *args: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "homma", "tail", *args, *flags(pipeline)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_each_change_is_one_line_until_ctrl_c(pipeline: Pipeline) -> None:
    write(pipeline, candle(0))
    with running_tail(pipeline, "m1", "AAA", "--json") as process:
        assert process.stdout is not None
        line = process.stdout.readline
        assert json.loads(line()) == candle(0)
        write(pipeline, candle(1, symbol="BBB"), candle(1, isFinal=False, revision=0))
        assert json.loads(line())["isFinal"] is False
        write(pipeline, candle(1, close=7.5))
        assert json.loads(line())["close"] == 7.5
        write(pipeline, candle(1), deleted=True)
        assert json.loads(line()) == {
            "source": "S",
            "symbol": "AAA",
            "dateTime": candle(1)["dateTime"],
            "deleted": True,
        }
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_lines_if_the_output_is_not_a_terminal(pipeline: Pipeline) -> None:
    write(pipeline, candle(0), candle(1, revision=3), candle(2, isFinal=False, revision=0))
    lines = once(pipeline, "m1", "AAA", json_lines=False).stdout.splitlines()
    assert lines[0] == "2025-03-20T09:00 AAA S O 1.0 H 2.0 L 0.5 C 1.5 V 1 final"
    assert lines[1].endswith("corrected (2x)")
    assert lines[2].endswith("open")


def test_candles_of_seconds_show_their_seconds(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=calendar_of(["s1", "m20"]))
    pipeline.send(*(tick(f"2025-03-20T09:00:0{n}.500", 10.0 + n, n) for n in range(3)))
    pipeline.work_off()
    chosen = ["--intervals", "s1,m20"]
    lines = once(pipeline, "s1", "AAA", *chosen, json_lines=False).stdout.splitlines()
    starts = [line.partition(" ")[0] for line in lines]
    assert starts == [f"2025-03-20T09:00:0{n}" for n in range(3)]
    [newest] = candles_of(once(pipeline, "m20", "AAA", *chosen))
    assert (newest["dateTime"], newest["tickCount"]) == ("2025-03-20T09:00:00.000", 3)


def test_a_reader_that_exits_is_not_an_error(pipeline: Pipeline) -> None:
    write(pipeline, candle(0))
    with running_tail(pipeline, "m1", "AAA") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        write(pipeline, *(candle(n) for n in range(1, 5)))
        assert process.wait() == 0


class Terminal:
    """`homma tail` in a pseudo-terminal."""

    def __init__(self, pipeline: Pipeline, *args: str) -> None:
        # Popen, because a forked child would share librdkafka's threads.
        self._terminal, child_end = pty.openpty()
        self.resize(24, 80)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homma", "tail", *args, *flags(pipeline)],
            stdin=child_end,
            stdout=child_end,
            stderr=child_end,
            env={**self._environment(), "TERM": "xterm-256color"},
        )
        os.close(child_end)
        self._bytes = b""

    @staticmethod
    def _environment() -> dict[str, str]:
        # These variables would override the size of the terminal.
        return {name: v for name, v in os.environ.items() if name not in ("COLUMNS", "LINES")}

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def text(self) -> str:
        """Everything written so far."""
        with contextlib.suppress(OSError):  # the child has exited
            while select.select([self._terminal], [], [], 0)[0]:
                self._bytes += os.read(self._terminal, 1 << 16)
        return self._bytes.decode(errors="replace")

    def picture(self) -> str:
        """The last picture, without colors."""
        return CSI.sub("", self.text().rpartition("\x1b[H")[2]).replace("\r", "")

    def until(self, is_met: Callable[[str], bool]) -> None:
        until(lambda: is_met(self.picture()))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)


def test_a_terminal_shows_a_live_chart(pipeline: Pipeline) -> None:
    write(pipeline, *(candle(n) for n in range(5)), candle(5, source="T"))
    terminal = Terminal(pipeline, "m1", "AAA", "--source", "S")
    try:
        terminal.until(lambda p: p.count("┃") >= 5)
        assert "also from T" in terminal.picture()
        assert "║" not in terminal.picture()
        write(pipeline, candle(6, close=1.75, isFinal=False, revision=0))
        terminal.until(lambda p: "║" in p and "C 1.75" in p)
        write(pipeline, candle(6, close=1.25, revision=2))
        terminal.until(lambda p: "║" not in p and "C 1.25" in p and "corrected" in p)
        terminal.resize(12, 50)
        terminal.until(lambda p: 0 < max(len(line) for line in p.split("\n")) <= 50)
        assert terminal.picture().count("\n") < 12
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait() == 0
        assert terminal.text().endswith("\x1b[?1049l")  # the previous screen is restored
    finally:
        terminal.close()


def test_a_terminal_waits_for_the_first_candle_of_a_series(pipeline: Pipeline) -> None:
    write(pipeline, candle(0, symbol="BBB"))
    terminal = Terminal(pipeline, "m1", "AAA")
    try:
        terminal.until(lambda p: "no candles of AAA" in p and "BBB (S)" in p)
        write(pipeline, candle(1))
        terminal.until(lambda p: "┃" in p)
        assert "no candles" not in terminal.picture()
    finally:
        terminal.close()


def test_a_terminal_shows_a_table_of_all_series(pipeline: Pipeline) -> None:
    write(pipeline, *(candle(0, symbol=f"A{n:02}") for n in range(40)))
    terminal = Terminal(pipeline, "m1")
    try:
        terminal.until(lambda p: "A00" in p and "more series" in p)
        assert terminal.picture().count("\n") < 24
        write(pipeline, candle(1, symbol="A00", close=1.75, isFinal=False, revision=0))
        terminal.until(lambda p: "1.75" in p and "open" in p)
    finally:
        terminal.close()
