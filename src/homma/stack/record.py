"""The record of what runs in a data folder, for whoever asks from outside (status, down)."""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from homma.errors import StackError
from homma.stack.process import State, Status

NAME: Final = "state.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The homma that runs a folder: its number and start, in epoch seconds as psutil has it."""

    pid: int
    created: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One process of the folder, as its owner last saw it, and its ports by what they are for."""

    status: Status
    ports: dict[str, int]


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """Who runs the folder (None: nobody, or nobody any more) and what."""

    owner: Owner | None = None
    entries: tuple[Entry, ...] = ()


def read_record(folder: Path) -> FolderRecord:
    """Read a folder's record; an empty one where there is none.

    The owner may have died: see `homma.stack.process_ids.alive`. Raises StackError when
    the file is not a record.
    """
    path = folder / NAME
    try:
        table = json.loads(path.read_text("utf-8"))
        owner = Owner(**table["owner"]) if table["owner"] else None
        return FolderRecord(owner, tuple(_entry(row) for row in table["processes"]))
    except FileNotFoundError:
        return FolderRecord()
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}", "check its rights") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(
            f"{path} is not a record of running servers ({error!r})",
            "delete it, after you have ended the servers that still use the folder",
        ) from error


def write_record(folder: Path, record: FolderRecord) -> None:
    """Write a folder's record in one step: a reader sees the old one or the new one."""
    table = {
        "owner": asdict(record.owner) if record.owner else None,
        "processes": [{**asdict(entry.status), "ports": entry.ports} for entry in record.entries],
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
