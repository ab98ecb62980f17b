"""How long until candles flow again after a restart, with a day and with a month behind.

    make bench WHAT=restart
    make bench WHAT=restart ARGS="--days 1 --series 200 --fine-minutes 2"

A day at one update a second cannot be waited for, so the history is made faster than live, by the
engine itself: ticks of some event time are sent, and the next ones when their candles are
committed.

- The first day: each series ticks once a minute, five minutes at a time. So every candle of a day
  is there, with fewer updates to each than live.
- Further days: each series ticks once an hour, an hour at a time.
- The last minutes, which are what a restart reads: each series ticks once a second, and all its
  candles are written once a second of event time, as live; only sooner, which leaves the broker
  less time to compact them.

Then ticks come in live, one a second and series, and the engine is ended and started again: once
asked to (SIGTERM), once killed. Who is killed is still in the consumer group until its session
has timed out, 6 s.
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
from homma.core.interval import FINEST
from homma.settings import TopicSettings
from homma.topics.contract import Topics
from homma.topics.kafka.reading import Reader
from homma.topics.kafka.writing import Sender

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
ASSIGNED = re.compile(r"^(\S+ \S+) homma.aggregate: assigned: partitions \[\d", re.MULTILINE)
RESTORED = re.compile(r"restored in ([0-9.]+) s")
#: Until the live ticks' candles flow evenly.
SETTLE_S = 10.0
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Back:
    """Seconds from the start of the process, but for `restore_s`, which the engine itself says."""

    assigned_s: float
    restore_s: float
    first_s: float
    all_s: float


@dataclass(frozen=True)
class Kept:
    """What the candle topics hold."""

    records: int
    mib: float


class History:
    """Event time that goes by as fast as the engine follows."""

    def __init__(self, bootstrap: str, group: Engines, topic: str, series: int) -> None:
        self._sender = Sender({"bootstrap.servers": bootstrap})
        self._group, self._topic, self._series = group, topic, series
        self.now_us = START_US

    def pass_by(self, span_us: int, step_us: int, ticks: int, what: str) -> None:
        """So much event time, a step at a time, of so many ticks a series each."""
        steps = track(range(span_us // step_us), what, console=Console(stderr=True), transient=True)
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
    """One tick a second and series, event time going on where the history is."""
    began_us = time.time_ns() // 1000
    with feeding(bootstrap, topic, series, series, began_us - history.now_us) as feed:
        yield feed
    gone_us = time.time_ns() // 1000 - began_us
    history.now_us = -(-(history.now_us + gone_us) // HOUR_US) * HOUR_US


class Watch:
    """A read_committed reader of candle_1min, at its end."""

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

    def until_all(self) -> list[float]:
        """When each partition has given a record, in the order of coming (monotonic seconds)."""
        seen: dict[int, float] = {}
        until_s = time.monotonic() + PATIENCE_S
        while len(seen) < PARTITIONS:
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                seen.setdefault(message.partition() or 0, time.monotonic())
            if time.monotonic() > until_s:
                raise SystemExit("candles have not come back within two minutes")
        self._consumer.close()
        return list(seen.values())


def restart(
    bootstrap: str, group: Engines, old: Engine, names: Topics, how: signal.Signals
) -> tuple[Engine, Back]:
    """End an engine and start another."""
    old.end(how)
    watch = Watch(bootstrap, names.candles[FINEST])
    began_s, began_at = time.monotonic(), datetime.now()
    new = group.start()
    times_s = watch.until_all()
    said = new.said()
    at = [datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f") for text in ASSIGNED.findall(said)]
    return new, Back(
        assigned_s=(at[0] - began_at).total_seconds() if at else math.nan,
        restore_s=sum(float(seconds) for seconds in RESTORED.findall(said)),
        first_s=times_s[0] - began_s,
        all_s=times_s[-1] - began_s,
    )


def kept(bootstrap: str, names: Topics, data: Path) -> Kept:
    """Count what a reader of all candle topics gets, and the bytes on the disk."""
    reader = Reader({"bootstrap.servers": bootstrap})
    records = 0
    for partition in range(PARTITIONS):
        spans = {topic: reader.kept(topic, partition) for topic in names.candles}
        records += sum(len(batch) for batch in reader.read(partition, spans, 30))
    reader.close()
    folders = [data / f"{topic}-{p}" for topic in names.candles for p in range(PARTITIONS)]
    size = sum(_size(file) for folder in folders for file in folder.glob("*.log"))
    return Kept(records, size / (1 << 20))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # compacted away meanwhile
        return 0


@dataclass(frozen=True)
class Scene:
    """A group of engines, its topics, and the event time that has gone by in them."""

    bootstrap: str
    folder: Path
    group: Engines
    names: Topics
    history: History
    series: int

    def make(self, fine_us: int, past: Callable[[], None]) -> None:
        """Have the engine make some history and then, second by second, what a restart reads."""
        maker = self.group.start("--emit-every", "20ms")
        self.group.until(self.group.ready)
        past()
        self.history.pass_by(fine_us, SECOND_US, 1, f"{fine_us // MINUTE_US} min, by the second")
        maker.end()

    def restarts(self, label: str) -> list[list[str]]:
        """With live ticks coming in, restart twice; a row each."""
        rows: list[list[str]] = []
        with live(self.bootstrap, self.history, self.names.ticks, self.series):
            engine = self.group.start()
            self.group.until(self.group.ready)
            time.sleep(SETTLE_S)
            found = kept(self.bootstrap, self.names, self.folder / "kafka" / "data")
            for how, called in ((signal.SIGTERM, "asked to"), (signal.SIGKILL, "killed")):
                engine, back = restart(self.bootstrap, self.group, engine, self.names, how)
                rows.append(
                    [
                        label,
                        called,
                        f"{found.records:,}",
                        f"{found.mib:,.0f}",
                        f"{back.assigned_s:.1f}",
                        f"{back.restore_s:.1f}",
                        f"{back.first_s:.1f}",
                        f"{back.all_s:.1f}",
                    ]
                )
                time.sleep(SETTLE_S)
            engine.end()
        return rows


def pasts(history: History, days: int, fine_us: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """What each history is called, and how it is made; each goes on after the one before."""
    day_us, more_us = DAY_US - fine_us, (days - 1) * DAY_US - fine_us
    yield "a day", lambda: history.pass_by(day_us, 5 * MINUTE_US, 5, "a day")
    if days > 1:
        yield f"{days} days", lambda: history.pass_by(more_us, HOUR_US, 1, f"{days} days")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--series", type=int, default=1000, help="and as many live ticks a second")
    parser.add_argument("--days", type=int, default=30, help="1 for the first day alone")
    parser.add_argument("--fine-minutes", type=int, default=12, help="event time, by the second")
    takes_port(parser)
    report.takes_markdown(parser)
    asked = parser.parse_args()
    print(report.machine())
    topics = TopicSettings(replication_factor=1)
    with broker(asked.port) as (bootstrap, folder):
        names = make_topics(bootstrap, topics)
        with engines(bootstrap, topics, "restart", folder) as group:
            history = History(bootstrap, group, names.ticks, asked.series)
            scene = Scene(bootstrap, folder, group, names, history, asked.series)
            fine_us = asked.fine_minutes * MINUTE_US
            rows: list[list[str]] = []
            for label, past in pasts(history, asked.days, fine_us):
                scene.make(fine_us, past)
                rows += scene.restarts(label)
    report.show(
        f"{asked.series:,} series, {asked.series:,} live ticks/s; seconds from the start of the "
        "process",
        (
            "history",
            "ended",
            "candle records",
            "MiB",
            "assigned",
            "of that restoring",
            "first candle",
            "candles of all partitions",
        ),
        rows,
        markdown=asked.markdown,
    )


if __name__ == "__main__":
    main()
