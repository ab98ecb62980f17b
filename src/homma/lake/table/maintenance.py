"""What keeps a table small: snapshots expired, files that no snapshot needs deleted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlparse

from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table as Iceberg

_S3: Final = "s3"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object below the table's location."""

    path: str
    size: int
    modified_s: float


def expire(table: Iceberg, keep: int) -> int:
    """Forget all but the newest snapshots, and those that a branch or tag holds; how many."""
    metadata = table.metadata
    held = {ref.snapshot_id for ref in metadata.refs.values()}
    old = sorted(metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    gone = [s.snapshot_id for s in old[: -keep or None] if s.snapshot_id not in held]
    if gone:
        table.maintenance.expire_snapshots().by_ids(gone).commit()
    return len(gone)


def stored(table: Iceberg) -> list[Stored]:
    """Every object below the table's location."""
    files, root = _file_system(table)
    found = files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return [
        Stored(f"{_S3}://{one.path}", one.size, one.mtime_ns / 1e9)
        for one in found
        if one.type == fs.FileType.File
    ]


def sweep(table: Iceberg, before_s: float, deleting: Callable[[], None]) -> int:
    """Delete objects last modified before a time that no snapshot reaches; how many."""
    # What is there is listed first: what comes in between is then not taken for left.
    there = [one for one in stored(table) if one.modified_s < before_s]
    if not there:
        return 0
    table.refresh()
    needed = set(_needed(table))
    gone = [one.path for one in there if one.path not in needed]
    files, _ = _file_system(table)
    for path in gone:
        deleting()
        files.delete_file(path.removeprefix(f"{_S3}://"))
    return len(gone)


def _needed(table: Iceberg) -> Iterator[str]:
    """All that the table's metadata leads to."""
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (
        one.statistics_path for one in (*metadata.statistics, *metadata.partition_statistics)
    )
    manifests = {}
    for snapshot in metadata.snapshots:
        yield snapshot.manifest_list
        manifests.update({m.manifest_path: m for m in snapshot.manifests(table.io)})
    for path, manifest in manifests.items():
        yield path
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        yield from (entry.data_file.file_path for entry in entries)


def _file_system(table: Iceberg) -> tuple[Any, str]:
    """Pyarrow's file system, and the table's folder in it."""
    assert isinstance(table.io, PyArrowFileIO)
    place = urlparse(table.location())
    return table.io.fs_by_scheme(_S3, place.netloc), f"{place.netloc}{place.path}"
