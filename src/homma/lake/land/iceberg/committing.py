"""Exactly once: retries a commit until it is known to be in the table, once.

The table stores the offsets of its topic and the id of its sink. A sink starts with a commit
without rows that claims the table: from then on, commits of another sink are refused, and that sink
ends when it next loads the table. A commit is made on the loaded snapshot and contains an id. After
any error the table is loaded again: if it has the id, the commit succeeded. If not, nothing was
written, or another engine has rewritten files: the commit is prepared again with the same id, so
that a late answer does no harm.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from homma.errors import CommitRefused, CommitUnknown, LakeError, LakeUnreachable, StaleSink
from homma.failpoint import OnStep, Step
from homma.lake.table import Part, Table, Uploaded
from homma.lake.table.offsets import Offsets

log = logging.getLogger("homma.land")

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0
_NO_FILES: Final = Uploaded(0, ())


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """Uploaded files, and the files that they replace."""

    added: Uploaded
    removed: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a commit waits for an unreachable catalog or storage."""

    give_up: Callable[[], bool]
    wait_s: Callable[[float], None] = time.sleep


#: Uploads the files of a commit; the argument says whether the table was loaded again before.
Prepare = Callable[[bool], PreparedCommit]


class Committer:
    """The only writer of a table."""

    def __init__(
        self,
        table: Table,
        retry: RetryPolicy,
        on_step: OnStep,
        count: Callable[[str], None],
        sink: str | None = None,
    ) -> None:
        self.table = table
        #: The offsets in the table, as far as this sink knows.
        self.known_offsets = table.offsets()
        self._retry = retry
        self._on_step = on_step
        self._count = count
        self._sink = sink or uuid.uuid4().hex

    def claim(self, empty: Offsets | None = None) -> None:
        """Claim the table for this sink: commits of all others are refused from now on.

        `empty` are the offsets of a table that has none yet.
        """
        commit_id = uuid.uuid4().hex
        wait_s = _FIRST_WAIT_S
        while True:
            is_last = self._retry.give_up()
            try:
                offsets = self.table.offsets() or empty
                self.table.commit(_NO_FILES, (), offsets, commit_id, self._sink)
                break
            except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
                log.warning("%s", error)
                self._reload(error)
                if self.table.has_commit(commit_id):
                    break
                if is_last and not isinstance(error, CommitRefused):
                    raise
                wait_s = self._back_off(wait_s)
        self.known_offsets = self.table.offsets()

    def commit(self, prepare: Prepare, offsets: Offsets) -> None:
        """Commit files and offsets. Raises StaleSink, and the last error once `give_up` is true."""
        commit_id = uuid.uuid4().hex
        wait_s, reloaded = _FIRST_WAIT_S, False
        while True:
            # Try once more after a request to stop: the catalog may be reachable again.
            is_last = self._retry.give_up()
            try:
                self._try(prepare, offsets, commit_id, reloaded=reloaded)
                self._count("committed")
                break
            except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
                log.warning("%s", error)
                self._count(_outcome(error))
                if self._has_succeeded(commit_id, error):
                    break
                reloaded = True
                # After another engine's commit, always retry: the last rows must not be lost.
                if not isinstance(error, CommitRefused):
                    if is_last:
                        raise
                    wait_s = self._back_off(wait_s)
        self.known_offsets = offsets
        self._on_step(Step.LANDED)

    def compact(self, parts: Sequence[Part]) -> None:
        """Compact files, unless another commit came first; the rows stay the same."""
        merged = self.table.upload(self.table.read(parts))
        self.table.commit(merged, parts, self.known_offsets, uuid.uuid4().hex, self._sink)

    def _try(self, prepare: Prepare, offsets: Offsets, commit_id: str, *, reloaded: bool) -> None:
        self._on_step(Step.LANDING)
        prepared = prepare(reloaded)
        self._on_step(Step.UPLOADED)
        self.table.commit(prepared.added, prepared.removed, offsets, commit_id, self._sink)

    def _has_succeeded(self, commit_id: str, error: LakeError) -> bool:
        """Load the table: True if the commit is in it, False if it may be retried."""
        self._reload(error)
        if self.table.has_commit(commit_id):
            log.info("%s: the commit succeeded", self.table.name)
            return True
        if self.table.sink() != self._sink or self.table.offsets() != self.known_offsets:
            raise StaleSink(
                f"another sink has taken over {self.table.name}; the last commit of this sink is "
                "not in the table",
                "make sure that only one `homma land` runs per namespace, and start `homma land` "
                "again",
            ) from error
        return False

    def _reload(self, error: LakeError) -> None:
        """Load the table; wait until it is reachable."""
        wait_s = _FIRST_WAIT_S
        while True:
            is_last = self._retry.give_up()
            try:
                self.table.refresh()
                return
            except LakeUnreachable as unreachable:
                if is_last:
                    raise unreachable from error
                log.warning("%s", unreachable)
                wait_s = self._back_off(wait_s)

    def _back_off(self, wait_s: float) -> float:
        """Wait, and return the next waiting time."""
        self._retry.wait_s(wait_s)
        return min(2 * wait_s, _LONGEST_WAIT_S)


def _outcome(error: LakeError) -> str:
    if isinstance(error, CommitRefused):
        return "refused"
    return "unknown" if isinstance(error, CommitUnknown) else "unreachable"
