"""Exactly once: a commit that is made until it is known to be in the table, once.

The table says how far it holds its topic. A commit is made on the snapshot that was looked at, and
its id stands in it. After any error the table is looked at again: if it holds the id, it is done.
If its offsets are those believed, nothing was written, or another engine has rewritten files: the
commit is prepared anew, under the same id, so that an answer that comes late does no harm. If they
are not, another sink is at work, and this one ends.
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files that are uploaded, and those that they replace."""

    added: Uploaded
    gone: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class Patience:
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
        patience: Patience,
        reached: Reached,
        count: Callable[[str], None],
    ) -> None:
        self.table = table
        #: What the table holds, as far as this sink knows.
        self.believed = table.offsets()
        self._patience = patience
        self._reached = reached
        self._count = count

    def commit(self, prepare: Prepare, offsets: Offsets) -> None:
        """Put it in. Raises StaleSink, and what `give_up` gives up on."""
        commit_id = uuid.uuid4().hex
        wait_s, again = _FIRST_WAIT_S, False
        while True:
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
                if not isinstance(error, CommitRefused):
                    self._patience.wait_s(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        self.believed = offsets
        self._reached(Step.LANDED)

    def _try(self, prepare: Prepare, offsets: Offsets, commit_id: str, *, again: bool) -> None:
        self._reached(Step.LANDING)
        prepared = prepare(again)
        self._reached(Step.UPLOADED)
        self.table.commit(prepared.added, prepared.gone, offsets, commit_id)

    def _is_in(self, commit_id: str, error: LakeError) -> bool:
        """Look at the table, however long it takes to be seen."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                self.table.refresh()
                break
            except LakeUnreachable as away:
                if self._patience.give_up():
                    raise away from error
                log.warning("%s", away)
                self._patience.wait_s(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        if self.table.holds(commit_id):
            log.info("%s: the commit went through", self.table.name)
            return True
        if self.table.offsets() != self.believed:
            raise StaleSink(
                f"another sink has moved {self.table.name} on, and nothing of this one is in it",
                "see that only one `homma land` runs for a namespace, then start it again",
            ) from error
        if self._patience.give_up():
            raise error
        return False


def _outcome(error: LakeError) -> str:
    if isinstance(error, CommitRefused):
        return "refused"
    return "unknown" if isinstance(error, CommitUnknown) else "unreachable"
