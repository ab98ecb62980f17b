"""A pyiceberg commit that removes files and adds others in one snapshot.

pyiceberg's own overwrite keeps manifests without live files and does not merge small ones. A delete
and an append are two snapshots, and the first one would lack the open candles.
"""

from collections.abc import Callable
from threading import Lock

from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _MergeAppendFiles, _OverwriteFiles


class CachedTransaction(Transaction):
    """A transaction that caches the metadata instead of copying it at each access."""

    _cached: tuple[object, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata, with the updates so far."""
        if self._cached is None or self._cached[0] is not self._updates:
            self._cached = self._updates, super().table_metadata
        return self._cached[1]


class MergingOverwrite(_OverwriteFiles, _MergeAppendFiles):
    """An overwrite that merges manifests like an append."""

    def _existing_manifests(self) -> list[ManifestFile]:
        manifests = _OverwriteFiles._existing_manifests(self)
        return [m for m in manifests if m.has_added_files() or m.has_existing_files()]

    def _deleted_entries(self) -> list[ManifestEntry]:
        return _OverwriteFiles._deleted_entries(self)

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        """Build the test whether a manifest may contain files to remove; thread-safe."""
        return serialized(super()._build_manifest_evaluator(spec_id))


def serialized(may_contain: Callable[[ManifestFile], bool]) -> Callable[[ManifestFile], bool]:
    """Make an evaluator safe to call from several threads.

    pyiceberg's evaluator stores the current manifest in itself, and its overwrite calls it from
    several threads: sometimes it evaluated another thread's manifest, and a file was not found.
    """
    lock = Lock()

    def evaluate(manifest: ManifestFile) -> bool:
        with lock:
            return may_contain(manifest)

    return evaluate


def operation(*, removes_files: bool) -> Operation:
    """The operation that the snapshot reports."""
    return Operation.OVERWRITE if removes_files else Operation.APPEND
