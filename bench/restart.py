"""The time until candles flow again after a restart, with a day and with a month of history.

    make bench WHAT=restart
    make bench WHAT=restart ARGS="--days 1 --series 200 --fine-minutes 2"

Waiting for a real day at one update per second would take too long, so the engine itself creates
the history, faster than live: ticks of some event time are sent, and the next ones when their
candles are committed.

- The first day: each series has a tick once a minute, sent five minutes at a time. So every candle
  of a day exists, with fewer updates than live.
- Further days: each series has a tick once an hour, sent an hour at a time.
- The last minutes, which a restart reads: each series has a tick once a second, and all its candles
  are written once per second of event time, as live, but in less time, which leaves the broker less
  time to compact them.

Then ticks arrive live, one per second and series, and the engine is stopped and started again: once
with SIGTERM, once with SIGKILL. A killed engine is still in the consumer group until its session
times out, 6 s.
"""

import argparse
import math
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.progress import track

from bench import report
from bench.broker import broker, takes_port
from bench.live import feeding
from bench.market import PARTITIONS, START_US, Market, make_topics
from bench.processes import Engine, Engines, engines
from homma.core.interval import MINUTE
from homma.settings import TopicSettings
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Reader
from homma.topics.kafka.writing import Sender

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
ASSIGNED = re.compile(r"^(\S+ \S+) homma.partitions: assigned: partitions \[\d", re.MULTILINE)
RESTORED = re.compile(r"restored in ([0-9.]+) s")
#: Time until the candles of live ticks flow evenly.
SETTLE_S = 10.0
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class RestartTimes:
    """Seconds from the start of the process, except `restore_s`, which is from the engine's log."""

    assigned_s: float
    restore_s: float
    first_s: float
    all_s: float


@dataclass(frozen=True)
class TopicSize:
    """Number and size of the records in the candle topics."""

    records: int
    mib: float


class History:
    """Event time that passes as fast as the engine follows."""

    def __init__(self, bootstrap: str, group: Engines, topic: str, series: int) -> None:
        self._sender = Sender({"bootstrap.servers": bootstrap})
        self._group, self._topic, self._series = group, topic, series
        self.now_us = START_US

    def advance(self, span_us: int, step_us: int, ticks: int, label: str) -> None:
        """Advance event time by `span_us`, in steps with `ticks` ticks per series each."""
        steps = track(
            range(span_us // step_us), label, console=Console(stderr=True), transient=True
        )
        count = self._series * ticks
        for _ in steps:
            target = self._group.committed() + count
            for keys, values in Market(count, self._series, step_us, self.now_us).records():
                self._sender.send(self._topic, keys, values)
            self._sender.flush(30)
            self._until(target)
            self.now_us += step_us

    def _until(self, target: int) -> None:
        self._group.until(lambda: self._group.committed() >= target, 0.002)


@contextmanager
def live(
    bootstrap: str, history: History, topic: str, series: int
) -> Iterator[subprocess.Popen[bytes]]:
    """One tick per second and series; event time continues from the end of the history."""
    began_us = time.time_ns() // 1000
    with feeding(bootstrap, topic, series, series, began_us - history.now_us) as feed:
        yield feed
    elapsed_us = time.time_ns() // 1000 - began_us
    history.now_us = -(-(history.now_us + elapsed_us) // HOUR_US) * HOUR_US


class CandleReader:
    """A read_committed consumer of candle_1min, from its end."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench-restart",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        parts = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        for part in parts:
            _, part.offset = self._consumer.get_watermark_offsets(part, timeout=10)
        self._consumer.assign(parts)

    def arrivals_s(self) -> list[float]:
        """The time of the first record of each partition, in order (monotonic seconds)."""
        arrivals: dict[int, float] = {}
        deadline_s = time.monotonic() + TIMEOUT_S
        while len(arrivals) < PARTITIONS:
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                arrivals.setdefault(message.partition() or 0, time.monotonic())
            if time.monotonic() > deadline_s:
                raise SystemExit("no new candles within two minutes")
        self._consumer.close()
        return list(arrivals.values())


def restart(
    bootstrap: str, group: Engines, old: Engine, names: Topics, stop_signal: signal.Signals
) -> tuple[Engine, RestartTimes]:
    """End an engine and start another."""
    old.end(stop_signal)
    reader = CandleReader(bootstrap, names.candles[MINUTE.code])
    began_s, began_at = time.monotonic(), datetime.now()
    new = group.start()
    times_s = reader.arrivals_s()
    log = new.log_text()
    at = [datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f") for text in ASSIGNED.findall(log)]
    return new, RestartTimes(
        assigned_s=(at[0] - began_at).total_seconds() if at else math.nan,
        restore_s=sum(float(seconds) for seconds in RESTORED.findall(log)),
        first_s=times_s[0] - began_s,
        all_s=times_s[-1] - began_s,
    )


def topic_size(bootstrap: str, names: Topics, data: Path) -> TopicSize:
    """Count the records that a reader of all candle topics gets, and the bytes on disk."""
    reader = Reader({"bootstrap.servers": bootstrap})
    records = 0
    for partition in range(PARTITIONS):
        spans = {topic: reader.offset_range(topic, partition) for topic in names.candles.values()}
        records += sum(len(batch) for batch in reader.read(partition, spans, 30))
    reader.close()
    folders = [data / f"{topic}-{p}" for topic in names.candles.values() for p in range(PARTITIONS)]
    size = sum(_size(file) for folder in folders for file in folder.glob("*.log"))
    return TopicSize(records, size / (1 << 20))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # compacted in the meantime
        return 0


@dataclass(frozen=True)
class Experiment:
    """A group of engines, its topics, and their history."""

    bootstrap: str
    folder: Path
    group: Engines
    names: Topics
    history: History
    series: int

    def create_history(self, fine_us: int, coarse: Callable[[], None]) -> None:
        """Let an engine create coarse history, then, second by second, the part a restart reads."""
        engine = self.group.start("--emit-every", "20ms")
        self.group.until(self.group.ready)
        coarse()
        self.history.advance(fine_us, SECOND_US, 1, f"{fine_us // MINUTE_US} min, by the second")
        engine.end()

    def restarts(self, label: str) -> list[list[str]]:
        """Restart twice while live ticks arrive. Returns one row each."""
        rows: list[list[str]] = []
        with live(self.bootstrap, self.history, self.names.ticks, self.series):
            engine = self.group.start()
            self.group.until(self.group.ready)
            time.sleep(SETTLE_S)
            size = topic_size(self.bootstrap, self.names, self.folder / "kafka" / "data")
            for stop_signal, ended in ((signal.SIGTERM, "stopped"), (signal.SIGKILL, "killed")):
                engine, times = restart(self.bootstrap, self.group, engine, self.names, stop_signal)
                rows.append(
                    [
                        label,
                        ended,
                        f"{size.records:,}",
                        f"{size.mib:,.0f}",
                        f"{times.assigned_s:.1f}",
                        f"{times.restore_s:.1f}",
                        f"{times.first_s:.1f}",
                        f"{times.all_s:.1f}",
                    ]
                )
                time.sleep(SETTLE_S)
            engine.end()
        return rows


def histories(
    history: History, days: int, fine_us: int
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Label and function of each history; each continues the previous one."""
    day_us, more_us = DAY_US - fine_us, (days - 1) * DAY_US - fine_us
    yield "a day", lambda: history.advance(day_us, 5 * MINUTE_US, 5, "a day")
    if days > 1:
        yield f"{days} days", lambda: history.advance(more_us, HOUR_US, 1, f"{days} days")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--series", type=int, default=1000, help="also the live ticks per second")
    parser.add_argument("--days", type=int, default=30, help="1: only the first day")
    parser.add_argument(
        "--fine-minutes", type=int, default=12, help="minutes of event time with a tick per second"
    )
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    print(report.machine())
    topics = TopicSettings(replication_factor=1)
    with broker(args.port) as (bootstrap, folder):
        names = make_topics(bootstrap, topics)
        with engines(bootstrap, topics, "restart", folder) as group:
            history = History(bootstrap, group, names.ticks, args.series)
            experiment = Experiment(bootstrap, folder, group, names, history, args.series)
            fine_us = args.fine_minutes * MINUTE_US
            rows: list[list[str]] = []
            for label, coarse in histories(history, args.days, fine_us):
                experiment.create_history(fine_us, coarse)
                rows += experiment.restarts(label)
    report.show(
        f"{args.series:,} series, {args.series:,} live ticks/s; seconds from the start of the "
        "process",
        (
            "history",
            "how the engine ended",
            "candle records",
            "MiB",
            "assigned",
            "restoring",
            "first candle",
            "candles of all partitions",
        ),
        rows,
        markdown=args.markdown,
    )


if __name__ == "__main__":
    main()
