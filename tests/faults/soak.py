"""Random faults from a seed, for any length of time.

    make soak MINUTES=10 SEED=4
    python -m tests.faults.soak --seed 4 --kills 200
    python -m tests.faults.soak --seed 4 --round 7        only that round

Starts its own broker and runs rounds of some minutes: new topics, ticks at a steady rate, one to
three engines in a group, and the faults of tests/faults/schedule.py. At the end of a round all
ticks must be processed, and the candles must match the oracle's. The first violation ends the run
with exit status 1 and keeps logs and data.
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
from homma.stack.downloads.jars import fetch, read_lock
from homma.topics.kafka.reading import Reader
from homma.topics.kafka.writing import Sender
from tests.faults.brokers import OwnBroker, own_broker
from tests.faults.crew import RECOVERED_WITHIN_S, Crew
from tests.faults.recovery import Commits, pauses, recoveries, takeovers
from tests.faults.schedule import LATENESS, schedule, with_pauses
from tests.support.engines import Engines, Record, Watch, check, flow
from tests.support.jars import jars_cache
from tests.support.pipeline import Pipeline

PARTITIONS = 4
SERIES = 16


class Load:
    """Sends `rate` records per second from a thread, until it is stopped."""

    def __init__(self, pipeline: Pipeline, records: Iterator[Record], rate: float) -> None:
        self._pipeline, self._records, self._rate = pipeline, records, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.error: KafkaError | None = None

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
            self.error = error

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(120)
        if error[0] is None:
            assert self.error is None, self.error
            assert not self._thread.is_alive(), "the broker does not accept the ticks"


@dataclass
class Result:
    """The results of a run so far."""

    rounds: int = 0
    ticks: int = 0
    candles: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    pauses: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    @property
    def kills(self) -> int:
        kinds = ("engine killed", "engine killed at a step", "broker killed")
        return sum(self.counts[kind] for kind in kinds)

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
            rows["median pause"] = f"{statistics.median(self.pauses):.1f} s"
            rows["longest pause"] = f"{max(self.pauses):.1f} s"
        lines = [f"| {name} | {value} |" for name, value in rows.items()]
        return "\n".join(["| | |", "|---|---|", *lines])


@dataclass(frozen=True)
class Round:
    """One round, with its own pipeline."""

    number: int
    seed: str
    broker: OwnBroker
    folder: Path
    rate: float
    result: Result
    show: Callable[[str], None]

    def run(self, seconds: float) -> None:
        """Run the round. Raises AssertionError for a violation."""
        chance = random.Random(self.seed)
        lateness = chance.choice(LATENESS)
        pipeline = Pipeline(self.broker.address, PARTITIONS)
        # Clients need not log here that the broker is down.
        pipeline.config["log_level"] = 0
        records = with_pauses(
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
            crew.end_faults()
            self._catch_up(pipeline, crew, commits)
            crew.end()
            watch.drain()
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
            if fault.after_recovery:
                crew.recover(commits)
            left_s = seconds - (time.monotonic() - began_s)
            crew.rest(min(fault.after_s, left_s))
            if fault.after_s >= left_s:
                return
            crew.strike(fault)
            self.show(
                f"round {self.number}, {left_s:.0f} s left: {self.result.kills} kills, last "
                f"fault: {crew.last}; {len(crew.running)} engines; {load.sent} ticks, "
                f"{sum(commits.offsets)} committed"
            )

    def _catch_up(self, pipeline: Pipeline, crew: Crew, commits: Commits) -> None:
        reader = Reader(pipeline.config)
        ends = [reader.offset_range(pipeline.topics.ticks, p).end for p in range(PARTITIONS)]
        reader.close()
        deadline_s = time.monotonic() + 2 * RECOVERED_WITHIN_S
        while commits.offsets != ends:
            assert time.monotonic() < deadline_s, f"stuck at {commits.offsets} of {ends}"
            crew.rest(0.1)

    def _measure(self, engines: Engines, crew: Crew, commits: Commits) -> None:
        taken_over = takeovers(engines.all)
        assert taken_over, "no engine said that it took over a partition"
        self.result.pauses += pauses(taken_over, commits.advances, crew.outages)
        durations = recoveries(crew.faults, commits.advances)
        # After the last faults there may have been nothing left to process.
        self.result.recoveries += [duration for duration in durations if duration < inf]


def delete(pipeline: Pipeline) -> None:
    """Free disk space: the next round has its own topics."""
    client = AdminClient(pipeline.config)
    for future in client.delete_topics(list(pipeline.topics.all())).values():
        future.result(30)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=inf)
    parser.add_argument("--kills", type=float, default=inf, help="stop after this many kills")
    parser.add_argument("--round", type=int, default=0, help="run only this round")
    parser.add_argument("--round-minutes", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=200.0, help="ticks per second")
    parser.add_argument("--keep-data", action="store_true", help="always keep logs and data")
    args = parser.parse_args()
    if not args.round and min(args.minutes, args.kills) == inf:
        parser.error("set a limit with --minutes, --kills, or --round")
    logging.getLogger("homma.kafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="homma-soak-"))
    console = Console()
    result, violation = Result(), ""
    began_s = time.monotonic()
    with (
        own_broker(folder / "kafka", fetch(read_lock("kafka"), jars_cache())) as broker,
        Live(Text(), console=console, transient=True) as live,
    ):
        for number in [args.round] if args.round else count(1):
            seed = f"{args.seed}/{number}"
            left_s = 60 * args.minutes - (time.monotonic() - began_s)
            if not args.round and (left_s <= 0 or result.kills >= args.kills):
                break
            logs = folder / f"round{number}"
            logs.mkdir()
            current = Round(
                number, seed, broker, logs, args.rate, result, lambda t: live.update(Text(t))
            )
            try:
                current.run(min(60 * args.round_minutes, left_s))
            except (AssertionError, HommaError, KafkaException, TimeoutExpired) as error:
                violation = f"round {number}: {error}"
                break
            if not args.keep_data:
                shutil.rmtree(logs)
            console.print(f"round {number} of seed {args.seed}: {result.kills} kills so far")
    print(result.table(args.seed, (time.monotonic() - began_s) / 60, violation))
    if violation:
        flags = f"--seed {args.seed} --round {number} --round-minutes {args.round_minutes:g}"
        sys.exit(f"violation; repeat it with {flags}; logs and data are in {folder}")
    if args.keep_data:
        print(f"logs and data are in {folder}")
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
