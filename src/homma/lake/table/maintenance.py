"""Keeps a table small: expires snapshots and deletes files that no snapshot needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlparse

from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table as Iceberg

_S3: Final = "s3"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object under the table's location."""

    path: str
    size: int
    modified_s: float


def expire(table: Iceberg, keep: int) -> int:
    """Expire all snapshots but the newest and those of branches and tags; returns their number."""
    metadata = table.metadata
    referenced = {ref.snapshot_id for ref in metadata.refs.values()}
    old = sorted(metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    expired = [s.snapshot_id for s in old[: -keep or None] if s.snapshot_id not in referenced]
    if expired:
        table.maintenance.expire_snapshots().by_ids(expired).commit()
    return len(expired)


def list_objects(table: Iceberg) -> list[StoredObject]:
    """All objects under the table's location."""
    files, root = _file_system(table)
    infos = files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return [
        StoredObject(f"{_S3}://{info.path}", info.size, info.mtime_ns / 1e9)
        for info in infos
        if info.type == fs.FileType.File
    ]


def sweep(table: Iceberg, before_s: float, deleting: Callable[[], None]) -> int:
    """Delete old objects that no snapshot references; returns their number."""
    # List the objects before loading the metadata: files added in between are not in the list.
    old = [item for item in list_objects(table) if item.modified_s < before_s]
    if not old:
        return 0
    table.refresh()
    referenced = set(_referenced_files(table))
    orphans = [item.path for item in old if item.path not in referenced]
    files, _ = _file_system(table)
    for path in orphans:
        deleting()
        files.delete_file(path.removeprefix(f"{_S3}://"))
    return len(orphans)


def _referenced_files(table: Iceberg) -> Iterator[str]:
    """All files that the table's metadata references."""
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (
        file.statistics_path for file in (*metadata.statistics, *metadata.partition_statistics)
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
    """The file system of pyarrow, and the table's folder in it."""
    assert isinstance(table.io, PyArrowFileIO)
    location = urlparse(table.location())
    return table.io.fs_by_scheme(_S3, location.netloc), f"{location.netloc}{location.path}"
