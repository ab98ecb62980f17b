"""The data folder: one owner at a time, and a record of what runs in it.

The owner holds a lock on the file `lock`, which the system releases when the process dies, and
writes `state.json` (`record.py`). Files left by a dead owner are harmless; servers that
outlived it are ended before others are started on the same data.
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
from homma.stack.processes.process import Status
from homma.stack.processes.process_ids import is_alive, terminate
from homma.stack.processes.record import Entry, FolderRecord, Owner, read_record, write_record

LOCK: Final = "lock"
# The time for a server to stop cleanly before it is killed.
GRACE_S: Final = 20.0
# `homma up` stops several servers, one after the other.
OWNER_GRACE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Leftovers of a dead owner: its pid (None: there are none) and the servers just ended."""

    owner: int | None
    ended: tuple[Status, ...]


class Folder:
    """A data folder that this process owns, until `release` or the process's end."""

    def __init__(
        self, path: Path, lock_fd: int, leftovers: Leftovers, settings: Mapping[str, str]
    ) -> None:
        """Created by `claim`. `settings` are those of the last owner, until they are recorded."""
        self.path = path
        self.leftovers = leftovers
        self._lock_fd = lock_fd
        self._mutex = threading.Lock()
        self._owner: Owner | None = _current_process()
        self._entries: dict[str, Entry] = {}
        self._settings = dict(settings)
        self._write()

    def record_status(self, status: Status, ports: Mapping[str, int]) -> None:
        """Record a process's status, from any thread; for the `on_change` of a Process."""
        with self._mutex:
            self._entries[status.name] = Entry(status, dict(ports))
            self._write()

    def record_settings(self, settings: Mapping[str, str]) -> None:
        """Record the settings with which other commands reach the processes, as texts by name."""
        with self._mutex:
            self._settings = dict(settings)
            self._write()

    def forget(self, name: str) -> None:
        """Remove a process that has done its work from the record."""
        with self._mutex:
            self._entries.pop(name, None)
            self._write()

    def release(self) -> None:
        """Release the folder; the recorded processes stay in the record."""
        with self._mutex:
            if self._owner is None:
                return
            self._owner = None
            self._write()
            _release_lock(self._lock_fd)

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
        entries = tuple(self._entries.values())
        write_record(self.path, FolderRecord(self._owner, entries, self._settings))


def claim(path: Path) -> Folder:
    """Become the owner of the folder; create it with mode 0700 if it does not exist.

    Servers left by a dead owner are ended first and listed in `leftovers` of the result. Raises
    FolderInUse if a living process owns the folder or a leftover server cannot be ended, and
    StackError if the folder cannot be created or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StackError(
            f"the folder {path} cannot be used: {error.strerror}",
            "choose another folder with --dir",
        ) from error
    try:
        _acquire_lock(lock_fd, path)
    except BaseException:
        os.close(lock_fd)
        raise
    try:
        record = read_record(path)
        leftovers = _end_leftovers(path, record)
        return Folder(path, lock_fd, leftovers, record.settings)
    except BaseException:
        _release_lock(lock_fd)
        raise


def owner_of(path: Path) -> Owner | None:
    """Return the living owner of a folder, or None."""
    try:
        owner = _read_owner(path)
    except OSError:
        return None
    return owner if owner and is_alive(*astuple(owner)) else None


def end_owner(path: Path, grace_s: float = OWNER_GRACE_S) -> Leftovers:
    """Stop the process that owns the folder (SIGTERM, SIGKILL after `grace_s`), then its servers.

    Returns the owner that was stopped (None: there was none) and the servers that it did not
    stop itself. Raises StackError if the owner cannot be ended.
    """
    owner = owner_of(path)
    if owner and not terminate(owner.pid, owner.created, grace_s):
        raise StackError(
            f"process {owner.pid} could not be ended",
            f"stop process {owner.pid} as its owner or as root",
        )
    ended: tuple[Status, ...] = ()
    if (path / LOCK).exists():
        # Under the lock, so that servers of a new owner are not mistaken for leftovers.
        with contextlib.suppress(FolderInUse), claim(path) as folder:
            ended = folder.leftovers.ended
    return Leftovers(owner.pid if owner else None, ended)


def _acquire_lock(lock_fd: int, path: Path) -> None:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = _read_owner(path)
        holder = f"process {owner.pid}" if owner else "another process"
        raise FolderInUse(
            f"the folder {path} is in use by {holder}",
            f"stop it with `homma down --dir {path}`, or choose another folder with --dir",
        ) from error
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, json.dumps(astuple(_current_process())).encode(), 0)


def _release_lock(lock_fd: int) -> None:
    # This process may keep running, and must then not be mistaken for the owner.
    os.ftruncate(lock_fd, 0)
    os.close(lock_fd)


def _read_owner(path: Path) -> Owner | None:
    text = (path / LOCK).read_text("utf-8")
    try:
        pid, created = json.loads(text)
        return Owner(int(pid), float(created))
    except (ValueError, TypeError):
        # The file is empty between taking the lock and writing to it.
        return None


def _current_process() -> Owner:
    return Owner(os.getpid(), psutil.Process().create_time())


def _end_leftovers(path: Path, record: FolderRecord) -> Leftovers:
    """End the recorded servers that still run, identified by pid and start."""
    ended = []
    for entry in record.entries:
        pid, created = entry.status.pid, entry.status.created
        if not pid or not created or not is_alive(pid, created):
            continue
        if not terminate(pid, created, GRACE_S):
            raise FolderInUse(
                f"{entry.status.name} (pid {pid}) still runs in {path} and could not be ended",
                f"stop process {pid} as its owner or as root, or choose another folder with --dir",
            )
        ended.append(entry.status)
    return Leftovers(record.owner.pid if record.owner else None, tuple(ended))
