"""The data folder: one owner at a time, and a record of what runs in it.

The owner holds a lock on the file `lock`, which the system takes away from a dead process, and
keeps `state.json` (`homma.stack.record`). Files left by a dead owner are no obstacle; servers
that outlived it are ended before anything is started on the same data.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from homma.errors import FolderInUse, StackError
from homma.stack.process import Status
from homma.stack.process_ids import alive, end
from homma.stack.record import Entry, FolderRecord, Owner, read_record, write_record

LOCK: Final = "lock"
# What a server may take to end in order before it is killed.
GRACE_S: Final = 20.0
# `up` stops several servers, one after the other.
OWNER_GRACE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a dead owner left: its pid (None: nothing was left) and the servers ended just now."""

    owner: int | None
    ended: tuple[Status, ...]


class Folder:
    """A data folder that this process owns, until `release` or its own end."""

    def __init__(self, path: Path, lock: int, leftovers: Leftovers) -> None:
        """Made by `claim`."""
        self.path = path
        self.leftovers = leftovers
        self._lock = lock
        self._turn = threading.Lock()
        self._owner: Owner | None = _myself()
        self._entries: dict[str, Entry] = {}
        self._write()

    def note(self, status: Status, ports: Mapping[str, int]) -> None:
        """Record how a process stands, from any thread; what a Process's `on_change` calls."""
        with self._turn:
            self._entries[status.name] = Entry(status, dict(ports))
            self._write()

    def release(self) -> None:
        """Give the folder back; what is recorded as running stays recorded."""
        with self._turn:
            if self._owner is None:
                return
            self._owner = None
            self._write()
            _give_back(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _write(self) -> None:
        write_record(self.path, FolderRecord(self._owner, tuple(self._entries.values())))


def claim(path: Path) -> Folder:
    """Make the folder if need be, for this user only, and become its owner.

    Servers that a dead owner left there are ended first; `leftovers` of the result says so.
    Raises FolderInUse when a living process owns it, or when a leftover server cannot be ended,
    and StackError when the folder cannot be made or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(
            f"the folder {path} cannot be used: {error.strerror}", "choose another with --dir"
        ) from error
    try:
        _take(lock, path)
    except BaseException:
        os.close(lock)
        raise
    try:
        leftovers = _end_leftovers(path, read_record(path))
        return Folder(path, lock, leftovers)
    except BaseException:
        _give_back(lock)
        raise


def owner_of(path: Path) -> Owner | None:
    """Give the living owner of a folder, if there is one."""
    try:
        owner = _read_owner(path)
    except OSError:
        return None
    return owner if owner and alive(*astuple(owner)) else None


def end_owner(path: Path, grace_s: float = OWNER_GRACE_S) -> Leftovers:
    """Stop the homma that owns the folder: SIGTERM, SIGKILL after `grace_s`, then what it left.

    The result names the owner that was stopped (None: there was none) and the servers that had
    to be ended because it did not do so. Raises StackError when it cannot be ended.
    """
    owner = owner_of(path)
    if owner and not end(owner.pid, owner.created, grace_s):
        raise StackError(f"process {owner.pid} could not be ended", "end it as its user, or root")
    ended: tuple[Status, ...] = ()
    if (path / LOCK).exists():
        # Under the lock, so that servers of an owner who has just come are not taken for left.
        with contextlib.suppress(FolderInUse), claim(path) as folder:
            ended = folder.leftovers.ended
    return Leftovers(owner.pid if owner else None, ended)


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = _read_owner(path)
        who = f"process {owner.pid}" if owner else "another process"
        raise FolderInUse(
            f"the folder {path} is in use by {who}",
            f"stop that one with `homma down --dir {path}`, or choose another folder with --dir",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(astuple(_myself())).encode(), 0)


def _give_back(lock: int) -> None:
    # This process may live on, and is then not to be taken for the owner.
    os.ftruncate(lock, 0)
    os.close(lock)


def _read_owner(path: Path) -> Owner | None:
    text = (path / LOCK).read_text("utf-8")
    try:
        pid, created = json.loads(text)
        return Owner(int(pid), float(created))
    except (ValueError, TypeError):
        # Empty for the moment between taking the lock and writing to it.
        return None


def _myself() -> Owner:
    return Owner(os.getpid(), psutil.Process().create_time())


def _end_leftovers(path: Path, record: FolderRecord) -> Leftovers:
    """End the recorded servers that still run, each known by number and start."""
    ended = []
    for entry in record.entries:
        pid, created = entry.status.pid, entry.status.created
        if not pid or not created or not alive(pid, created):
            continue
        if not end(pid, created, GRACE_S):
            raise FolderInUse(
                f"{entry.status.name} (pid {pid}) still runs in {path} and could not be ended",
                "end it as its user, or choose another folder with --dir",
            )
        ended.append(entry.status)
    return Leftovers(record.owner.pid if record.owner else None, tuple(ended))
