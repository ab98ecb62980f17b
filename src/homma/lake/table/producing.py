"""A commit of pyiceberg's that takes files away and adds others in one snapshot.

pyiceberg's own overwrite never drops manifests without live files and never merges small ones,
and a delete with an append makes two snapshots, of which the first lacks the open candles.
"""

from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _MergeAppendFiles, _OverwriteFiles


class Replacing(_OverwriteFiles, _MergeAppendFiles):
    """An overwrite that merges manifests as an append does."""

    def _existing_manifests(self) -> list[ManifestFile]:
        kept = _OverwriteFiles._existing_manifests(self)
        return [m for m in kept if m.has_added_files() or m.has_existing_files()]

    def _deleted_entries(self) -> list[ManifestEntry]:
        return _OverwriteFiles._deleted_entries(self)


def operation(*, takes_away: bool) -> Operation:
    """What the snapshot says of itself."""
    return Operation.OVERWRITE if takes_away else Operation.APPEND
