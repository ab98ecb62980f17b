"""A broker for one test, which can be killed, stopped and restarted."""

import os
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from homma.cli.local import is_reachable
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.process import Process, State
from homma.stack.servers import kafka
from tests.support.pipeline import until
from tests.support.waiting import free_ports


def quick_restarts() -> Backoff:
    """Restart soon after each kill, without a limit."""
    return Backoff(most_s=1.0, attempts=1_000_000)


@dataclass(frozen=True)
class OwnBroker:
    """A running broker with its address and its data folder."""

    process: Process
    address: str
    folder: Path

    @property
    def pid(self) -> int:
        """The pid of the JVM; only while it runs."""
        pid = self.process.status.pid
        assert pid is not None
        return pid

    @property
    def is_up(self) -> bool:
        return self.process.status.state is State.RUNNING

    def kill(self) -> None:
        """Kill it with SIGKILL; its supervisor restarts it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait_restarted(self, kills: int) -> None:
        """Wait until it runs again after this many kills."""
        until(lambda: self.process.status.restarts >= kills and self.is_up, timeout_s=180)

    @contextmanager
    def full_disk(self, limit_bytes: int = 50_000) -> Iterator[None]:
        """Limit the size of each file of the broker, also after a restart, during a with block."""
        stop = threading.Event()
        limited: set[int] = set()

        def limit() -> None:
            while not stop.wait(0.01):
                pid = self.process.status.pid
                if pid is not None and pid not in limited:
                    self._limit(pid, limit_bytes)
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

    def _limit(self, pid: int, limit_bytes: int) -> None:
        # The process may just have ended.
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))


@contextmanager
def own_broker(folder: Path, jars: Sequence[Path]) -> Iterator[OwnBroker]:
    port, controller_port = free_ports(2)
    address = f"127.0.0.1:{port}"
    with kafka.running(
        folder, port, controller_port, jars, lambda: is_reachable(address), quick_restarts
    ) as process:
        yield OwnBroker(process, address, folder)
