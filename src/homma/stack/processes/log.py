"""The log file of a process: open it, limit its size, read its last lines."""

import re
from pathlib import Path
from typing import IO, Final

KEEP_BYTES: Final = 10 << 20
TAIL_BYTES: Final = 1 << 16
# Frames of Java and Python stack traces say where an error happened, not what it is.
FRAME: Final = re.compile(r'^\s*(at .+\(|\.\.\. \d+ more|File ".+", line \d+)')


def open_log(path: Path) -> IO[bytes]:
    """Open `path` for appending, mode 0600; a file over 10 MB is first moved to `<path>.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > KEEP_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    path.touch(mode=0o600)
    return path.open("ab")


def size_of(path: Path) -> int:
    """Return the file's size in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def lines_since(path: Path, offset: int) -> list[str]:
    """Return the lines after byte `offset` without blank lines and stack frames, up to 64 KiB."""
    if not path.exists():
        return []
    size = path.stat().st_size
    start = 0 if size < offset else offset  # a shorter file has been rotated
    with path.open("rb") as file:
        file.seek(max(start, size - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip() and not FRAME.match(line)]
