"""A Flink session cluster of the locked jars: a JobManager and a TaskManager, each a process."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homma.flink import cluster as server
from homma.flink.cluster import CONNECTOR, Flink
from homma.flink.rest import Rest
from homma.stack.downloads.jars import fetch, read_lock
from tests.flink.flinks import TIMEOUT_S
from tests.support.jars import jars_cache
from tests.support.pipeline import until
from tests.support.waiting import free_ports

JOBMANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASKMANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"


def config_yaml(rest: int, rpc: int, temporary: Path) -> str:
    """The configuration; Flink's own scripts would derive the memory sizes from a total."""
    host = "127.0.0.1"
    values = {
        "jobmanager.rpc.address": host,
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": host,
        "rest.address": host,
        "rest.bind-address": host,
        "rest.port": rest,
        "rest.bind-port": str(rest),
        "taskmanager.host": host,
        "taskmanager.bind-host": host,
        "taskmanager.numberOfTaskSlots": 2,
        "taskmanager.cpu.cores": 2.0,
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.heap.size": "512m",
        "taskmanager.memory.task.off-heap.size": "0",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "taskmanager.memory.network.min": "128m",
        "taskmanager.memory.network.max": "128m",
        "taskmanager.memory.managed.size": "128m",
        "io.tmp.dirs": str(temporary),
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items())


class Session:
    """The cluster; both processes can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rest, self._rpc = free_ports(2)
        self.rest = Rest(f"127.0.0.1:{self._rest}")
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both processes and wait until there are slots."""
        for name, program in (("jobmanager", JOBMANAGER), ("taskmanager", TASKMANAGER)):
            self._running.append(self._start(self._folder / name, program))

        def has_slots() -> bool:
            assert all(process.poll() is None for process in self._running), self.log_text()
            overview = self.rest._request("/overview")
            return overview is not None and overview["slots-total"] > 0

        until(has_slots, TIMEOUT_S)

    def _start(self, home: Path, program: str) -> subprocess.Popen[bytes]:
        jars = fetch(read_lock("flink"), jars_cache())
        # The connector comes with the job, as Flink's images do not have it.
        without_connector = [jar for jar in jars if not jar.name.startswith(CONNECTOR)]
        flink = Flink(home, without_connector, self._rest, "1g", 2)
        server.write(flink, "")
        conf = home / "conf"
        (conf / "config.yaml").write_text(config_yaml(self._rest, self._rpc, home / "tmp"))
        with flink.out.open("ab") as out:
            return subprocess.Popen(
                [*server._java(flink), program, "--configDir", str(conf)],
                env={**os.environ, "FLINK_CONF_DIR": str(conf)},
                cwd=home,
                stdout=out,
                stderr=out,
            )

    def log_text(self) -> str:
        logs = [*self._folder.glob("*/out.log"), *self._folder.glob("*/server.log")]
        return "\n".join(f"--- {log}\n{log.read_text()[-4000:]}" for log in logs)

    def kill(self) -> None:
        """Kill both processes at once, like a power failure."""
        for process in self._running:
            process.kill()
        for process in self._running:
            process.wait()
        self._running.clear()


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """A cluster for the duration of the block."""
    cluster = Session(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
