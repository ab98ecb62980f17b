"""The synthetic history of a new data folder, which `homma up` loads when it starts.

The ticks are written to a file once, and `homma backfill` loads the file. Loading it again adds
nothing, so a start that was interrupted is repeated with the same file. `history.json` exists from
the first start of the data folder on, and says whether the history is complete.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homma.durations import microseconds
from homma.errors import ServerFailed, StackError
from homma.formats import CURRENT, FORMAT, format_of
from homma.settings import GenerateSettings, UpSettings
from homma.stack.processes.child import Child
from homma.stack.processes.folder import Folder
from homma.stack.processes.log import lines_since, open_log, size_of
from homma.stack.processes.process import State, Status, exit_text

NAME: Final = "history.json"
TICKS: Final = "history.parquet"
#: Appears when the load may begin, and disappears when the candles are published.
SIGNAL: Final = "history.signal"
#: The name of the loading process in `homma status`.
PROCESS: Final = "history"
_IS_COMPLETE: Final = "complete"
_STOP_S: Final = 10.0
#: How often a signal is noticed while the ticks are loaded.
_POLL_S: Final = 0.1


def is_due(up: UpSettings) -> bool:
    """Whether history is to be loaded; notes this in a new data folder.

    A load that has begun is always finished: the lake may have some of its ticks. Call this before
    Kafka's folder exists.
    """
    path = up.dir / NAME
    if up.no_lake:
        return False
    is_wanted = bool(up.history) and not (up.ingest or up.no_generate)
    if path.exists():
        return not _read(path) and (is_wanted or (up.dir / TICKS).exists())
    if not is_wanted or (up.dir / "kafka").exists():
        return False
    _write(path, is_complete=False)
    return True


def write_ticks(up: UpSettings, ticks: GenerateSettings, now_us: int) -> None:
    """Write the ticks to the file, unless an earlier start has done so."""
    path = up.dir / TICKS
    if path.exists():
        return
    # `homma status`, which imports this module, does not need the generator.
    from homma.feed.sources import history  # noqa: PLC0415

    frame = history(ticks, microseconds(up.history), now_us)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            frame.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StackError(
            f"{path} cannot be written: {error.strerror}", "choose another folder with --dir"
        ) from error


@dataclass(frozen=True, slots=True)
class Loading:
    """A `homma backfill` of the ticks, which waits for `begin`."""

    home: Path
    child: Child
    log: Path
    offset: int

    def begin(self) -> None:
        """Let the load begin: the servers are ready."""
        self._signal.touch()

    def wait_for_candles(self) -> None:
        """Wait until the candles are published. Raises ServerFailed if the load fails before."""
        while self._signal.exists() and not self.child.wait(_POLL_S):
            pass
        if self.child.wait(0):
            self.wait()

    @property
    def _signal(self) -> Path:
        return self.home / SIGNAL

    def wait(self) -> str:
        """Wait for the end, and return the last line that was logged. Raises ServerFailed."""
        while not self.child.wait(_POLL_S):
            pass
        lines = lines_since(self.log, self.offset)
        last = lines[-1] if lines else "no output"
        if self.child.code:
            raise ServerFailed(
                f"loading the history ended with {exit_text(self.child.code)}: {last}",
                f"see {self.log}; `homma up` tries again",
            )
        _write(self.home / NAME, is_complete=True)
        (self.home / TICKS).unlink(missing_ok=True)
        return last


@contextmanager
def loading(
    folder: Folder, flags: Sequence[str], env: Mapping[str, str], config: Path | None
) -> Iterator[Loading]:
    """Prepare a `homma backfill` of the ticks, which ends no later than the with block."""
    config_flag = ["--config", str(config)] if config else []
    path, log = str(folder.path / TICKS), folder.path / f"{PROCESS}.log"
    signal = folder.path / SIGNAL
    signal.unlink(missing_ok=True)
    command = [*config_flag, "backfill", *flags, "--signal", str(signal), path]
    argv = [sys.executable, "-m", "homma", *command]
    with open_log(log) as file:
        offset = size_of(log)
        child = Child(argv, file, _STOP_S, env)
    try:
        status = Status(PROCESS, State.RUNNING, time.time(), child.pid, child.created)
        folder.record_status(status, {})
        yield Loading(folder.path, child, log, offset)
    finally:
        child.request_stop()
        child.wait()
        signal.unlink(missing_ok=True)
        folder.forget(PROCESS)


def _read(path: Path) -> bool:
    """Whether the history is complete."""
    try:
        table = json.loads(path.read_text("utf-8"))
        format_of(table.get(FORMAT, 1), str(path))
        return bool(table[_IS_COMPLETE])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(
            f"{path} cannot be read ({error!r})",
            "delete the file to keep the data folder as it is, without further history",
        ) from error


def _write(path: Path, *, is_complete: bool) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({FORMAT: CURRENT, _IS_COMPLETE: is_complete}), "utf-8")
    part.replace(path)
