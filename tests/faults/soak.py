"""Faults at random, from a seed, for as long as one likes.

    make soak MINUTES=10 SEED=4
    python -m tests.faults.soak --seed 4 --kills 200
    python -m tests.faults.soak --seed 4 --round 7        that round alone

A broker of its own, and round after round of some minutes: fresh topics, ticks at a steady rate,
one to three engines in a group, and whatever tests/faults/schedule.py comes up with. At the end of
a round all must be worked off, and the candles be the oracle's. The first violation ends the run
with exit status 1; logs and data stay.
"""

import argparse
import logging
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from math import inf
from pathlib import Path
from subprocess import TimeoutExpired

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.live import Live
from rich.text import Text

from homma.errors import HommaError, KafkaError
from homma.stack.jars import fetch, read_lock
from homma.topics.kafka.reading import Reader
from homma.topics.kafka.writing import Sender
from tests.aggregate.pipeline import Pipeline
from tests.conftest import jars_cache
from tests.faults.brokers import OwnBroker, own_broker
from tests.faults.crew import RECOVERED_WITHIN_S, Crew
from tests.faults.engines import Engines, Record, Watch, check, flow
from tests.faults.recovery import Commits, opened, pauses, recoveries
from tests.faults.schedule import LATENESS, schedule, with_naps

PARTITIONS = 4
SERIES = 16


class Load:
    """Sends records from a thread, so many a second, until it is told to stop."""

    def __init__(self, pipeline: Pipeline, records: Iterator[Record], rate: float) -> None:
        self._pipeline, self._records, self._rate = pipeline, records, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.failed: KafkaError | None = None

    def _run(self) -> None:
        topic, sender = self._pipeline.topics.ticks, Sender(self._pipeline.config)
        began_s = time.monotonic()
        try:
            while not self._stop.is_set():
                while self.sent < (time.monotonic() - began_s) * self._rate:
                    key, value = next(self._records)
                    sender.send(topic, [key], [value])  # type: ignore[list-item]
                    self.sent += 1
                sender.poll(0.02)
            assert sender.flush(60) == 0
        except KafkaError as error:
            self.failed = error

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._stop.set()
        self._thread.join(120)
        if failed[0] is None:
            assert self.failed is None, self.failed
            assert not self._thread.is_alive(), "the broker does not take the ticks"


@dataclass
class Result:
    """What a run has shown so far."""

    rounds: int = 0
    ticks: int = 0
    candles: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    pauses: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    @property
    def kills(self) -> int:
        killed = ("engine killed", "engine killed at a step", "broker killed")
        return sum(self.counts[how] for how in killed)

    def table(self, seed: int, minutes: float, violation: str) -> str:
        rows = {
            "seed": seed,
            "minutes": f"{minutes:.1f}",
            "rounds": self.rounds,
            "kills": self.kills,
            **dict(sorted(self.counts.items())),
            "ticks": f"{self.ticks:,}",
            "candles compared": f"{self.candles:,}",
            "violations": violation or 0,
        }
        if self.recoveries:
            rows["longest time to recover"] = f"{max(self.recoveries):.1f} s"
        if self.pauses:
            rows["pauses of moved partitions"] = len(self.pauses)
            rows["their median"] = f"{statistics.median(self.pauses):.1f} s"
            rows["the longest"] = f"{max(self.pauses):.1f} s"
        lines = [f"| {name} | {value} |" for name, value in rows.items()]
        return "\n".join(["| | |", "|---|---|", *lines])


@dataclass(frozen=True)
class Round:
    """One pipeline's life."""

    number: int
    seed: str
    broker: OwnBroker
    folder: Path
    rate: float
    result: Result
    show: Callable[[str], None]

    def run(self, seconds: float) -> None:
        """Raises AssertionError where something is not as it should be."""
        chance = random.Random(self.seed)
        lateness = chance.choice(LATENESS)
        pipeline = Pipeline(self.broker.address, PARTITIONS)
        # That its broker is away is nothing that a client need say here.
        pipeline.config["log_level"] = 0
        records = with_naps(
            flow(self.seed, SERIES, allowed_lateness=lateness.allowed_lateness),
            self.seed,
            lateness.allowed_lateness / 2,
        )
        with (
            Watch(pipeline) as watch,
            Engines(pipeline, self.folder) as engines,
            Commits(pipeline) as commits,
        ):
            flags = ("--emit-every", "50ms", *lateness.flags)
            crew = Crew(engines, self.broker, chance, flags, self.result.counts)
            with Load(pipeline, records, self.rate) as load:
                self._strike(crew, load, commits, seconds)
            crew.settle()
            self._work_off(pipeline, crew, commits)
            crew.end()
            watch.settle()
            self._measure(engines, crew, commits)
        self.result.candles += check(pipeline, lateness.allowed_lateness)
        self.result.ticks += load.sent
        self.result.rounds += 1
        delete(pipeline)

    def _strike(self, crew: Crew, load: Load, commits: Commits, seconds: float) -> None:
        crew.start()
        crew.start()
        began_s = time.monotonic()
        for fault in schedule(self.seed):
            if fault.settled:
                crew.recover(commits)
            left_s = seconds - (time.monotonic() - began_s)
            crew.rest(min(fault.after_s, left_s))
            if fault.after_s >= left_s:
                return
            crew.strike(fault)
            self.show(
                f"round {self.number}, {left_s:.0f} s left: {self.result.kills} kills, the last "
                f"thing: {crew.last}; {len(crew.here)} engines; {load.sent} ticks, "
                f"{sum(commits.offsets)} committed"
            )

    def _work_off(self, pipeline: Pipeline, crew: Crew, commits: Commits) -> None:
        reader = Reader(pipeline.config)
        ends = [reader.kept(pipeline.topics.ticks, p).end for p in range(PARTITIONS)]
        reader.close()
        until_s = time.monotonic() + 2 * RECOVERED_WITHIN_S
        while commits.offsets != ends:
            assert time.monotonic() < until_s, f"stuck at {commits.offsets} of {ends}"
            crew.rest(0.1)

    def _measure(self, engines: Engines, crew: Crew, commits: Commits) -> None:
        taken_over = opened(engines.all)
        assert taken_over, "no engine said that it took over a partition"
        self.result.pauses += pauses(taken_over, commits.advances, crew.outages)
        took = recoveries(crew.faults, commits.advances)
        # After the last faults there may have been nothing left to do.
        self.result.recoveries += [one for one in took if one < inf]


def delete(pipeline: Pipeline) -> None:
    """Make room: the next round has topics of its own."""
    client = AdminClient(pipeline.config)
    for future in client.delete_topics(list(pipeline.topics.all())).values():
        future.result(30)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=inf)
    parser.add_argument("--kills", type=float, default=inf, help="stop after so many")
    parser.add_argument("--round", type=int, default=0, help="this round alone")
    parser.add_argument("--round-minutes", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=200.0, help="ticks a second")
    parser.add_argument("--keep", action="store_true", help="keep logs and data in any case")
    given = parser.parse_args()
    if not given.round and min(given.minutes, given.kills) == inf:
        parser.error("say how long: --minutes, --kills, or --round")
    logging.getLogger("homma.kafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="homma-soak-"))
    console = Console()
    result, violation = Result(), ""
    began_s = time.monotonic()
    with (
        own_broker(folder / "kafka", fetch(read_lock("kafka"), jars_cache())) as broker,
        Live(Text(), console=console, transient=True) as live,
    ):
        for number in [given.round] if given.round else count(1):
            seed = f"{given.seed}/{number}"
            left_s = 60 * given.minutes - (time.monotonic() - began_s)
            if not given.round and (left_s <= 0 or result.kills >= given.kills):
                break
            logs = folder / f"round{number}"
            logs.mkdir()
            one = Round(
                number, seed, broker, logs, given.rate, result, lambda t: live.update(Text(t))
            )
            try:
                one.run(min(60 * given.round_minutes, left_s))
            except (AssertionError, HommaError, KafkaException, TimeoutExpired) as error:
                violation = f"round {number}: {error}"
                break
            if not given.keep:
                shutil.rmtree(logs)
            console.print(f"round {number} of seed {given.seed}: {result.kills} kills so far")
    print(result.table(given.seed, (time.monotonic() - began_s) / 60, violation))
    if violation:
        again = f"--seed {given.seed} --round {number} --round-minutes {given.round_minutes:g}"
        sys.exit(f"violation, to be tried again with {again}; logs and data are in {folder}")
    if given.keep:
        print(f"logs and data are in {folder}")
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
