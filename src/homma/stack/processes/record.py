"""The record of a data folder, which other commands read: its processes, and its settings."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from homma.errors import StackError
from homma.formats import CURRENT, FORMAT, format_of
from homma.stack.processes.process import State, Status

NAME: Final = "state.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The homma process that owns a folder: pid and start (epoch seconds, from psutil)."""

    pid: int
    created: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One process of the folder, as its owner last saw it, and its ports by purpose."""

    status: Status
    ports: dict[str, int]


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """The owner of a folder (None if nobody owns it now), its processes and settings.

    `settings` are those with which other commands reach the processes, as texts by name.
    """

    owner: Owner | None = None
    entries: tuple[Entry, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def read_record(folder: Path) -> FolderRecord:
    """Read a folder's record, or an empty one if there is none.

    The owner may have died: see `process_ids.is_alive`. Raises StackError if the file is not a
    record, and StateError if a newer homma wrote it.
    """
    path = folder / NAME
    try:
        table = json.loads(path.read_text("utf-8"))
        format_of(table.get(FORMAT, 1), str(folder))
        owner = Owner(**table["owner"]) if table["owner"] else None
        settings = {str(name): str(text) for name, text in table.get("settings", {}).items()}
        return FolderRecord(owner, tuple(_entry(row) for row in table["processes"]), settings)
    except FileNotFoundError:
        return FolderRecord()
    except OSError as error:
        raise StackError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(
            f"{path} is not a record of running servers ({error!r})",
            "end the servers that still use the folder, then delete the file",
        ) from error


def write_record(folder: Path, record: FolderRecord) -> None:
    """Write a folder's record atomically: a reader sees the old record or the new one."""
    table = {
        FORMAT: CURRENT,
        "owner": asdict(record.owner) if record.owner else None,
        "processes": [{**asdict(entry.status), "ports": entry.ports} for entry in record.entries],
        "settings": dict(record.settings),
    }
    path = folder / NAME
    handle, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=2)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _entry(row: dict[str, Any]) -> Entry:
    ports = {str(name): int(port) for name, port in row.pop("ports").items()}
    return Entry(Status(**{**row, "state": State(row["state"])}), ports)
