"""The engines of a round, and what is done to them and to their broker."""

import heapq
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from itertools import count

from homma.cli.options import FAILPOINT
from homma.failpoint import Step
from tests.aggregate.pipeline import until
from tests.faults.brokers import OwnBroker
from tests.faults.engines import Engines, Running
from tests.faults.recovery import Commits
from tests.faults.schedule import Fault, Kind

MOST_ENGINES = 3
#: Everything recovers within a minute of the fault's end.
RECOVERED_WITHIN_S = 60
#: What a program may say that gave up because no broker answered.
GAVE_UP = "start Kafka there, or name another with --bootstrap.servers"
#: Steps of a transaction come again and again, those of a restore once a partition.
OFTEN = (Step.BEGUN, Step.SENT, Step.OFFSET_ADDED, Step.COMMITTED)
SELDOM = (
    Step.TAKEN_OVER,
    Step.OFFSET_READ,
    Step.CANDLES_READ,
    Step.TICKS_RECALLED,
    Step.READY,
    Step.WAKING_CANDLES_READ,
    Step.AWAKE,
)


def failpoint(chance: random.Random) -> Mapping[str, str]:
    """The environment of the next engine: now and then it ends at a step of our choice."""
    if chance.random() < 0.7:
        return {}
    step = chance.choice(OFTEN + SELDOM)
    return {FAILPOINT: f"{step}:{chance.randint(1, 500 if step in OFTEN else 2)}"}


class Crew:
    """One to three engines that share a group; `counts` goes on from round to round."""

    def __init__(
        self,
        engines: Engines,
        broker: OwnBroker,
        chance: random.Random,
        flags: tuple[str, ...],
        counts: Counter[str],
    ) -> None:
        self._engines, self._broker, self._chance, self._flags = engines, broker, chance, flags
        self._counts = counts
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = count()
        self.here: list[Running] = []
        self._frozen: list[Running] = []
        self._leaving: list[Running] = []
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
            if one.process.returncode == -signal.SIGKILL:
                self._note("engine killed at a step")
            else:
                sentence = one.ended_with_a_sentence()
                assert GAVE_UP in sentence, sentence
                self._note("engine ended as no broker answered")
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
        self._counts[what] += 1
        self.faults.append(time.time())
        self.last = what
        with (self._engines.folder / "faults.log").open("a") as log:
            print(datetime.now().isoformat(" ", "milliseconds"), what, file=log)
