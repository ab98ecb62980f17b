"""The engines of a soak round, and the faults of them and their broker."""

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
from tests.faults.brokers import OwnBroker
from tests.faults.recovery import Commits
from tests.faults.schedule import Fault, Kind
from tests.support.engines import Engines, Running
from tests.support.pipeline import until

MOST_ENGINES = 3
#: Everything recovers within a minute of the fault's end.
RECOVERED_WITHIN_S = 60
#: Part of the error message of a program that gave up because no broker answered.
GAVE_UP = "start Kafka there, or set another address with --bootstrap.servers"
#: Steps of a transaction occur again and again, those of a restore once per partition.
OFTEN = (Step.BEGUN, Step.SENT, Step.OFFSET_ADDED, Step.COMMITTED)
RARE = (
    Step.TAKEN_OVER,
    Step.OFFSET_READ,
    Step.CANDLES_READ,
    Step.TICKS_RECALLED,
    Step.READY,
    Step.WAKING_CANDLES_READ,
    Step.AWAKE,
)


def failpoint(chance: random.Random) -> Mapping[str, str]:
    """The environment of the next engine: sometimes with a failpoint at a random step."""
    if chance.random() < 0.7:
        return {}
    step = chance.choice(OFTEN + RARE)
    return {FAILPOINT: f"{step}:{chance.randint(1, 500 if step in OFTEN else 2)}"}


class Crew:
    """One to three engines that share a group; `counts` accumulates over the rounds."""

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
        self._scheduled: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = count()
        self.running: list[Running] = []
        self._frozen: list[Running] = []
        self._leaving: list[Running] = []
        #: Epoch seconds when a fault began or ended.
        self.faults = [time.time()]
        self.outages: list[float] = []
        self.last = ""
        self._broker_is_down = False

    def start(self) -> None:
        if len(self.running) < MOST_ENGINES:
            self.running.append(self._engines.start(*self._flags, env=failpoint(self._chance)))

    def rest(self, seconds: float) -> None:
        """Let time pass, and run the scheduled calls that are due."""
        deadline_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < deadline_s:
            while self._scheduled and self._scheduled[0][0] <= now_s:
                heapq.heappop(self._scheduled)[2]()
            if self._broker.is_up and self._broker_is_down:
                self.faults.append(time.time())
            self._broker_is_down = not self._broker.is_up
            self.check_ended()
            time.sleep(0.02)

    def recover(self, commits: Commits) -> None:
        """Wait until every partition has advanced since the last fault ended."""
        while not commits.advanced_since(self.faults[-1]) or self._broker_is_down:
            overdue_s = time.time() - self.faults[-1] - RECOVERED_WITHIN_S
            assert self._broker_is_down or overdue_s < 0, f"stuck at {commits.offsets}"
            self.rest(0.1)

    def strike(self, fault: Fault) -> None:
        """Inject a fault, if there is an engine or broker for it."""
        if fault.kind in (Kind.KILL_BROKER, Kind.KILL_BOTH) and self._broker.is_up:
            self._broker.kill()
            self._broker_is_down = True
            self.outages.append(time.time())
            self._record("broker killed")
        if fault.kind in (Kind.KILL_ENGINE, Kind.KILL_BOTH) and (
            engine := self._pick(fault, self.running)
        ):
            engine.kill()
            self.running.remove(engine)
            self._record("engine killed")
            self._after(fault.for_s, self.start)
        awake = [engine for engine in self.running if engine not in self._frozen]
        if fault.kind is Kind.FREEZE and (engine := self._pick(fault, awake)):
            engine.freeze()
            self._frozen.append(engine)
            self._record("engine frozen")
            self._after(fault.for_s, partial(self._thaw, engine))
        if fault.kind is Kind.LEAVE and (engine := self._pick(fault, awake)):
            engine.terminate()
            self.running.remove(engine)
            self._leaving.append(engine)
            self._record("engine stopped by SIGTERM")
            if not self.running:
                self._after(fault.for_s, self.start)
        if fault.kind is Kind.JOIN and len(self.running) < MOST_ENGINES:
            self.start()
            self._record("engine added")

    def end_faults(self) -> None:
        """Resume frozen engines, wait for stopping ones, and make sure that one is running."""
        self._scheduled.clear()
        for engine in list(self._frozen):
            self._thaw(engine)
        for engine in self._leaving:
            engine.assert_stopped()
        if not self.running:
            self.start()
        until(lambda: self._broker.is_up)

    def end(self) -> None:
        self.check_ended()
        for engine in self.running:
            engine.stop()
        for engine in self._engines.all:
            assert "Traceback" not in engine.output(), engine.output()

    def check_ended(self) -> None:
        """Restart engines that ended by themselves, which must have had a reason."""
        for engine in [item for item in self.running if item.process.poll() is not None]:
            self.running.remove(engine)
            if engine.process.returncode == -signal.SIGKILL:
                self._record("engine killed at a step")
            else:
                message = engine.wait_failed()
                assert GAVE_UP in message, message
                self._record("engine ended because no broker answered")
            self._after(1.0, self.start)

    def _pick(self, fault: Fault, engines: list[Running]) -> Running | None:
        return engines[int(fault.which * len(engines))] if engines else None

    def _thaw(self, engine: Running) -> None:
        self._frozen.remove(engine)
        if engine.process.poll() is None:
            engine.thaw()
            self.faults.append(time.time())

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._scheduled, (time.monotonic() + seconds, next(self._ties), call))

    def _record(self, what: str) -> None:
        self._counts[what] += 1
        self.faults.append(time.time())
        self.last = what
        with (self._engines.folder / "faults.log").open("a") as log:
            print(datetime.now().isoformat(" ", "milliseconds"), what, file=log)
