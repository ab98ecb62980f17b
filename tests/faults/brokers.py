"""A broker of a test's own, to be killed, stopped and started again."""

import os
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from homma.cli.local import answers
from homma.stack import kafka
from homma.stack.backoff import Backoff
from homma.stack.process import Process, State
from tests.aggregate.pipeline import until
from tests.stack.waiting import free_ports


def patient() -> Backoff:
    """Who kills a broker on purpose wants it back soon, however often."""
    return Backoff(most_s=1.0, attempts=1_000_000)


@dataclass(frozen=True)
class OwnBroker:
    """A running broker, where its clients find it, and where its data is."""

    process: Process
    address: str
    folder: Path

    @property
    def pid(self) -> int:
        """The JVM's; asked while it runs."""
        pid = self.process.status.pid
        assert pid is not None
        return pid

    @property
    def up(self) -> bool:
        return self.process.status.state is State.RUNNING

    def kill(self) -> None:
        """End it with SIGKILL; its supervisor starts it again."""
        os.kill(self.pid, signal.SIGKILL)

    def wait_restarted(self, kills: int) -> None:
        """Wait until it is back from its n-th end."""
        until(lambda: self.process.status.restarts >= kills and self.up)

    @contextmanager
    def full_disk(self, most_bytes: int = 50_000) -> Iterator[None]:
        """No file of the broker may grow beyond that, nor a file of one that is started anew."""
        stop = threading.Event()
        limited: set[int] = set()

        def limit() -> None:
            while not stop.wait(0.01):
                pid = self.process.status.pid
                if pid is not None and pid not in limited:
                    self._limit(pid, most_bytes)
                    limited.add(pid)

        thread = threading.Thread(target=limit)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            if (pid := self.process.status.pid) is not None:
                self._limit(pid, resource.RLIM_INFINITY)

    def _limit(self, pid: int, most_bytes: int) -> None:
        # It may just have ended.
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


@contextmanager
def own_broker(folder: Path, jars: Sequence[Path]) -> Iterator[OwnBroker]:
    port, controller_port = free_ports(2)
    address = f"127.0.0.1:{port}"
    with kafka.running(
        folder, port, controller_port, jars, lambda: answers(address), patient
    ) as process:
        yield OwnBroker(process, address, folder)
