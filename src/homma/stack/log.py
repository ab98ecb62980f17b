"""A process's log file: opened for it, kept small, and asked for its last words."""

import re
from pathlib import Path
from typing import IO, Final

KEEP_BYTES: Final = 10 << 20
TAIL_BYTES: Final = 1 << 16
# Frames of Java and Python stack traces say where, not what.
FRAME: Final = re.compile(r'^\s*(at .+\(|\.\.\. \d+ more|File ".+", line \d+)')


def open_log(path: Path) -> IO[bytes]:
    """Open `path` for appending, for its owner only; what grew beyond 10 MB becomes `<path>.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > KEEP_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    path.touch(mode=0o600)
    return path.open("ab")


def size_of(path: Path) -> int:
    """Give the file's size in bytes, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0


def lines_since(path: Path, offset: int) -> list[str]:
    """Give the lines written after byte `offset` that say something, at most the last 64 KiB."""
    if not path.exists():
        return []
    size = path.stat().st_size
    start = 0 if size < offset else offset  # a shorter file was rotated meanwhile
    with path.open("rb") as file:
        file.seek(max(start, size - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip() and not FRAME.match(line)]
