"""Exactly once: a commit that is made until it is known to be in the table, once.

The table says how far it holds its topic, and whose it is. A sink begins by a commit without rows
that makes the table its own: what another one is just about to commit is refused from then on, and
that one ends as soon as it looks. A commit is made on the snapshot that was looked at, and its id
stands in it. After any error the table is looked at again: if it holds the id, it is done. If not,
nothing was written, or another engine has rewritten files: the commit is prepared anew, under the
same id, so that an answer that comes late does no harm.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from homma.errors import CommitRefused, CommitUnknown, LakeError, LakeUnreachable, StaleSink
from homma.failpoint import Reached, Step
from homma.lake.offsets import Offsets
from homma.lake.table import Part, Table, Uploaded

log = logging.getLogger("homma.land")

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0
_NOTHING: Final = Uploaded(0, ())


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files that are uploaded, and those that they replace."""

    added: Uploaded
    gone: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a commit waits for a catalog or a storage that is away."""

    give_up: Callable[[], bool]
    wait_s: Callable[[float], None] = time.sleep


#: Uploads what is to be committed; told whether the table was looked at again before.
Prepare = Callable[[bool], Prepared]


class Committer:
    """The one writer of a table."""

    def __init__(
        self,
        table: Table,
        patience: RetryPolicy,
        reached: Reached,
        count: Callable[[str], None],
        sink: str | None = None,
    ) -> None:
        self.table = table
        #: What the table holds, as far as this sink knows.
        self.believed = table.offsets()
        self._patience = patience
        self._reached = reached
        self._count = count
        self._sink = sink or uuid.uuid4().hex

    def claim(self, empty: Offsets | None = None) -> None:
        """Make the table this sink's own: from now on no other one gets anything in.

        `empty` is what a table is to say that says nothing of offsets yet.
        """
        commit_id = uuid.uuid4().hex
        wait_s = _FIRST_WAIT_S
        while True:
            last = self._patience.give_up()
            try:
                held = self.table.offsets() or empty
                self.table.commit(_NOTHING, (), held, commit_id, self._sink)
                break
            except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
                log.warning("%s", error)
                self._look(error)
                if self.table.holds(commit_id):
                    break
                if last and not isinstance(error, CommitRefused):
                    raise
                wait_s = self._waited(wait_s)
        self.believed = self.table.offsets()

    def commit(self, prepare: Prepare, offsets: Offsets) -> None:
        """Put it in. Raises StaleSink, and what `give_up` gives up on."""
        commit_id = uuid.uuid4().hex
        wait_s, again = _FIRST_WAIT_S, False
        while True:
            # Who is asked to stop tries once more: what was away may be back since the last time.
            last = self._patience.give_up()
            try:
                self._try(prepare, offsets, commit_id, again=again)
                self._count("committed")
                break
            except (CommitRefused, CommitUnknown, LakeUnreachable) as error:
                log.warning("%s", error)
                self._count(_outcome(error))
                if self._is_in(commit_id, error):
                    break
                again = True
                # Another engine's commit is no reason to leave the last rows out.
                if not isinstance(error, CommitRefused):
                    if last:
                        raise
                    wait_s = self._waited(wait_s)
        self.believed = offsets
        self._reached(Step.LANDED)

    def compact(self, parts: Sequence[Part]) -> None:
        """Put files together, if nobody has been faster; the rows stay what they are."""
        merged = self.table.upload(self.table.read(parts))
        self.table.commit(merged, parts, self.believed, uuid.uuid4().hex, self._sink)

    def _try(self, prepare: Prepare, offsets: Offsets, commit_id: str, *, again: bool) -> None:
        self._reached(Step.LANDING)
        prepared = prepare(again)
        self._reached(Step.UPLOADED)
        self.table.commit(prepared.added, prepared.gone, offsets, commit_id, self._sink)

    def _is_in(self, commit_id: str, error: LakeError) -> bool:
        """Look at the table: whether the commit is in it, or may be tried again."""
        self._look(error)
        if self.table.holds(commit_id):
            log.info("%s: the commit went through", self.table.name)
            return True
        if self.table.sink() != self._sink or self.table.offsets() != self.believed:
            raise StaleSink(
                f"another sink has taken over {self.table.name}, and nothing of this one's last "
                "commit is in it",
                "see that only one `homma land` runs for a namespace, then start it again",
            ) from error
        return False

    def _look(self, error: LakeError) -> None:
        """Look at the table, however long it takes to be seen."""
        wait_s = _FIRST_WAIT_S
        while True:
            last = self._patience.give_up()
            try:
                self.table.refresh()
                return
            except LakeUnreachable as away:
                if last:
                    raise away from error
                log.warning("%s", away)
                wait_s = self._waited(wait_s)

    def _waited(self, wait_s: float) -> float:
        """Wait; how long to wait the next time."""
        self._patience.wait_s(wait_s)
        return min(2 * wait_s, _LONGEST_WAIT_S)


def _outcome(error: LakeError) -> str:
    if isinstance(error, CommitRefused):
        return "refused"
    return "unknown" if isinstance(error, CommitUnknown) else "unreachable"
