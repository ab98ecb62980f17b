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
import heapq
import logging
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
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
from tests.aggregate.pipeline import Pipeline, until
from tests.conftest import jars_cache
from tests.faults.brokers import OwnBroker, own_broker
from tests.faults.engines import Engines, Record, Running, Watch, check, flow
from tests.faults.recovery import Commits, opened, pauses, recoveries
from tests.faults.schedule import LATENESS, Fault, Kind, schedule, with_naps

PARTITIONS = 4
SERIES = 16
MOST_ENGINES = 3
#: Everything recovers within a minute of the fault's end.
RECOVERED_WITHIN_S = 60
#: What a program may say that gave up because no broker answered.
GAVE_UP = "start Kafka there, or name another with --bootstrap.servers"
#: Steps of a transaction or a restore at which some engines end themselves.
FAILPOINTS: tuple[str, ...] = ()


def failpoint(chance: random.Random) -> Mapping[str, str]:
    """The environment of the next engine: now and then it ends at a step of our choice."""
    if not FAILPOINTS or chance.random() < 0.5:
        return {}
    return {"HOMMA_FAILPOINT": chance.choice(FAILPOINTS)}


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


class Crew:
    """The engines of a round, and what is done to them and their broker."""

    def __init__(
        self, engines: Engines, broker: OwnBroker, chance: random.Random, flags: tuple[str, ...]
    ) -> None:
        self._engines, self._broker, self._chance, self._flags = engines, broker, chance, flags
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = count()
        self.here: list[Running] = []
        self._frozen: list[Running] = []
        self._leaving: list[Running] = []
        self.counts: Counter[str] = Counter()
        #: Epoch seconds: when something happened, and when it was over.
        self.faults = [time.time()]
        self.outages: list[float] = []
        self.last = ""
        self._down = False

    def start(self) -> None:
        if len(self.here) < MOST_ENGINES:
            self.here.append(self._engines.start(*self._flags, env=failpoint(self._chance)))

    def rest(self, seconds: float) -> None:
        """Let time pass, in which what was put off comes due."""
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            while self._later and self._later[0][0] <= now_s:
                heapq.heappop(self._later)[2]()
            if self._broker.up and self._down:
                self.faults.append(time.time())
            self._down = not self._broker.up
            self.look()
            time.sleep(0.02)

    def recover(self, commits: Commits) -> None:
        """Wait until every partition has moved on since the last fault was over."""
        while not commits.moved_on_since(self.faults[-1]) or self._down:
            overdue_s = time.time() - self.faults[-1] - RECOVERED_WITHIN_S
            assert self._down or overdue_s < 0, f"stuck at {commits.offsets}"
            self.rest(0.1)

    def strike(self, fault: Fault) -> None:
        """Let it happen, if there is anything for it to happen to."""
        if fault.kind in (Kind.KILL_BROKER, Kind.KILL_BOTH) and self._broker.up:
            self._broker.kill()
            self._down = True
            self.outages.append(time.time())
            self._note("broker killed")
        if fault.kind in (Kind.KILL_ENGINE, Kind.KILL_BOTH) and (
            one := self._pick(fault, self.here)
        ):
            one.kill()
            self.here.remove(one)
            self._note("engine killed")
            self._after(fault.for_s, self.start)
        awake = [one for one in self.here if one not in self._frozen]
        if fault.kind is Kind.FREEZE and (one := self._pick(fault, awake)):
            one.freeze()
            self._frozen.append(one)
            self._note("engine frozen")
            self._after(fault.for_s, partial(self._thaw, one))
        if fault.kind is Kind.LEAVE and (one := self._pick(fault, awake)):
            one.ask()
            self.here.remove(one)
            self._leaving.append(one)
            self._note("engine ended by SIGTERM")
            if not self.here:
                self._after(fault.for_s, self.start)
        if fault.kind is Kind.JOIN and len(self.here) < MOST_ENGINES:
            self.start()
            self._note("engine added")

    def settle(self) -> None:
        """No more faults: wake who is frozen, see off who leaves, and have an engine at work."""
        self._later.clear()
        for one in list(self._frozen):
            self._thaw(one)
        for one in self._leaving:
            one.wait_ended()
        if not self.here:
            self.start()
        until(lambda: self._broker.up)

    def end(self) -> None:
        self.look()
        for one in self.here:
            one.stop()
        for one in self._engines.all:
            assert "Traceback" not in one.said(), one.said()

    def look(self) -> None:
        """Who ended by itself must have had a reason, and is started again."""
        for one in [one for one in self.here if one.process.poll() is not None]:
            self.here.remove(one)
            sentence = one.ended_with_a_sentence()
            assert GAVE_UP in sentence, sentence
            self.counts["engine ended as no broker answered"] += 1
            self._after(1.0, self.start)

    def _pick(self, fault: Fault, among: list[Running]) -> Running | None:
        return among[int(fault.which * len(among))] if among else None

    def _thaw(self, one: Running) -> None:
        self._frozen.remove(one)
        if one.process.poll() is None:
            one.thaw()
            self.faults.append(time.time())

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._ties), call))

    def _note(self, what: str) -> None:
        self.counts[what] += 1
        self.faults.append(time.time())
        self.last = what
        with (self._engines.folder / "faults.log").open("a") as log:
            print(datetime.now().isoformat(" ", "milliseconds"), what, file=log)


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
        return self.counts["engine killed"] + self.counts["broker killed"]

    def table(self, seed: int, minutes: float, violation: str) -> str:
        moved = sorted(self.pauses) or [inf]
        rows = {
            "seed": seed,
            "minutes": f"{minutes:.1f}",
            "rounds": self.rounds,
            "kills": self.kills,
            **dict(sorted(self.counts.items())),
            "ticks": f"{self.ticks:,}",
            "candles compared": f"{self.candles:,}",
            "violations": violation or 0,
            "longest time to recover": f"{max(self.recoveries, default=inf):.1f} s",
            "pause of a moved partition, median": f"{statistics.median(moved):.1f} s",
            "pause of a moved partition, longest": f"{moved[-1]:.1f} s",
        }
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
            flow(self.seed, SERIES, correct_for=lateness.correct_for),
            self.seed,
            lateness.correct_for / 2,
        )
        with (
            Watch(pipeline) as watch,
            Engines(pipeline, self.folder) as engines,
            Commits(pipeline) as commits,
        ):
            crew = Crew(engines, self.broker, chance, ("--emit-every", "50ms", *lateness.flags))
            with Load(pipeline, records, self.rate) as load:
                self._strike(crew, load, commits, seconds)
            assert load.failed is None, load.failed
            crew.settle()
            self._work_off(pipeline, crew, commits)
            crew.end()
            watch.settle()
            self._measure(engines, crew, commits)
        self.result.candles += check(pipeline, lateness.correct_for)
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
            kills = self.result.kills + crew.counts["engine killed"] + crew.counts["broker killed"]
            self.show(
                f"round {self.number}, {left_s:.0f} s left: {kills} kills in all; {crew.last}; "
                f"{len(crew.here)} engines; {load.sent} ticks, {sum(commits.offsets)} committed"
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
        self.result.counts += crew.counts
        self.result.pauses += pauses(taken_over, commits.advances, crew.outages)
        self.result.recoveries += recoveries(crew.faults, commits.advances)


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
    parser.add_argument("--rate", type=float, default=300.0, help="ticks a second")
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
        sys.exit(f"violation: --seed {given.seed} --round {number}; logs and data are in {folder}")
    if given.keep:
        print(f"logs and data are in {folder}")
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
