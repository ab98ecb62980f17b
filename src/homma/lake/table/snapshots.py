"""A commit of pyiceberg's that takes files away and adds others in one snapshot.

pyiceberg's own overwrite never drops manifests without live files and never merges small ones,
and a delete with an append makes two snapshots, of which the first lacks the open candles.
"""

from collections.abc import Callable
from threading import Lock

from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _MergeAppendFiles, _OverwriteFiles


class OwnSnapshot(Transaction):
    """A transaction that does not copy the metadata each time it is looked at."""

    _seen: tuple[object, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata with the updates so far."""
        if self._seen is None or self._seen[0] is not self._updates:
            self._seen = self._updates, super().table_metadata
        return self._seen[1]


class Replacing(_OverwriteFiles, _MergeAppendFiles):
    """An overwrite that merges manifests as an append does."""

    def _existing_manifests(self) -> list[ManifestFile]:
        kept = _OverwriteFiles._existing_manifests(self)
        return [m for m in kept if m.has_added_files() or m.has_existing_files()]

    def _deleted_entries(self) -> list[ManifestEntry]:
        return _OverwriteFiles._deleted_entries(self)

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        """Whether a manifest may hold what goes, one manifest at a time."""
        return one_at_a_time(super()._build_manifest_evaluator(spec_id))


def one_at_a_time(may_hold: Callable[[ManifestFile], bool]) -> Callable[[ManifestFile], bool]:
    """The same for several threads.

    pyiceberg's own keeps the manifest that it looks at in itself, and its overwrite asks it from
    several threads: now and then one was told of another's manifest, and a file was not found.
    """
    lock = Lock()

    def asked(manifest: ManifestFile) -> bool:
        with lock:
            return may_hold(manifest)

    return asked


def operation(*, takes_away: bool) -> Operation:
    """What the snapshot says of itself."""
    return Operation.OVERWRITE if takes_away else Operation.APPEND
