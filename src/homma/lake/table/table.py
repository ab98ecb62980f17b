"""One table: its offsets and files, reads and commits.

Nothing is retried here: a commit is made on the snapshot that was loaded last, or refused.
`Table.refresh` loads the newest snapshot.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl
import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update import AssertTableUUID

from homma.core.series import NAMES, encode
from homma.errors import CommitRefused, CommitUnknown, LakeError, LakeUnreachable, TableMismatch
from homma.formats import CURRENT
from homma.lake.schema import Column, TableSpec, schema_of
from homma.lake.table import definition, maintenance
from homma.lake.table.catalog_client import Properties, translate_error, translated_errors
from homma.lake.table.offsets import Offsets, read_offsets
from homma.lake.table.snapshots import CachedTransaction, MergingOverwrite, operation
from homma.lake.table.where import EVERYTHING, Where, expression

log = logging.getLogger("homma.lake")

#: Keys in the snapshot summary of our commits, and in the table's properties.
OFFSETS: Final = "homma.offsets"
COMMIT_ID: Final = "homma.commit-id"
SINK: Final = "homma.sink"
LOADING: Final = "homma.loading"
_TRUE: Final = "true"
_EVER_US: Final = 1 << 62
_DAYS_AT_ONCE: Final = 16
_MAX_CHANGES: Final = 20


@dataclass(frozen=True, slots=True)
class Part:
    """A data file of the snapshot that was loaded last."""

    path: str
    #: The partition's values, as text: equal for all files of one partition.
    partition: str
    rows: int
    size: int
    #: The largest date_time in microseconds; _EVER_US if the file has no statistics.
    newest_us: int
    _task: FileScanTask = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Data files in the storage that are in no snapshot yet."""

    rows: int
    _files: tuple[DataFile, ...] = field(repr=False)

    @classmethod
    def combine(cls, uploads: Iterable["Uploaded"]) -> "Uploaded":
        """The files of several uploads."""
        parts = list(uploads)
        return cls(
            sum(upload.rows for upload in parts),
            tuple(f for upload in parts for f in upload._files),
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """The ids of a commit; None for commits of other programs, and for those of no sink."""

    commit_id: str | None
    sink: str | None


class Table:
    """A table as of the last refresh or commit."""

    def __init__(self, iceberg: Iceberg, spec: TableSpec, properties: Properties) -> None:
        self.spec = spec
        self.name = ".".join(iceberg.name())
        self._iceberg = iceberg
        self._properties = properties

    def refresh(self) -> None:
        """Load the newest metadata."""
        with translated_errors(f"loading {self.name}", self._properties):
            self._iceberg.refresh()

    @property
    def snapshot_id(self) -> int | None:
        """The id of the loaded snapshot; None if the table has none."""
        return self._iceberg.metadata.current_snapshot_id

    def offsets(self) -> Offsets | None:
        """The offsets of its topic that the table holds; None if no sink has written to it."""
        text = self._iceberg.metadata.properties.get(OFFSETS) or self._newest_summary_value(OFFSETS)
        return read_offsets(text) if text else None

    def sink(self) -> str | None:
        """The id of the sink that owns the table; None if no sink has claimed it."""
        return self._iceberg.metadata.properties.get(SINK) or self._newest_summary_value(SINK)

    def has_commit(self, commit_id: str) -> bool:
        """Whether the table contains one of our commits."""
        if self._iceberg.metadata.properties.get(COMMIT_ID) == commit_id:
            return True
        return any(summary.get(COMMIT_ID) == commit_id for summary in self._summaries())

    def commits_since(self, snapshot_id: int | None) -> list[Commit] | None:
        """The commits after a snapshot (None: all), newest first; None if they are not known."""
        commits: list[Commit] = []
        metadata = self._iceberg.metadata
        for snapshot in ancestors_of(metadata.current_snapshot(), metadata):
            if snapshot.snapshot_id == snapshot_id:
                return commits
            values = snapshot.summary.additional_properties if snapshot.summary else {}
            commits.append(Commit(values.get(COMMIT_ID), values.get(SINK)))
        return commits if snapshot_id is None else None

    def _newest_summary_value(self, name: str) -> str | None:
        return next((s[name] for s in self._summaries() if name in s), None)

    def _summaries(self) -> Iterator[dict[str, str]]:
        """Summaries of the current snapshot and its ancestors, newest first."""
        metadata = self._iceberg.metadata
        for snapshot in ancestors_of(metadata.current_snapshot(), metadata):
            yield snapshot.summary.additional_properties if snapshot.summary else {}

    # --- reading -------------------------------------------------------------------------------

    def parts(self, where: Where = EVERYTHING) -> list[Part]:
        """The data files that may contain matching rows."""
        with translated_errors(f"planning {self.name}", self._properties):
            tasks = list(self._iceberg.scan(row_filter=expression(where)).plan_files())
        return [self._part(task) for task in tasks]

    def _part(self, task: FileScanTask) -> Part:
        file = task.file
        bounds = file.upper_bounds or {}
        field_id = self._iceberg.schema().find_field("date_time").field_id
        newest_us = (
            int.from_bytes(bounds[field_id], "little", signed=True)
            if field_id in bounds
            else _EVER_US
        )
        return Part(
            path=file.file_path,
            partition=str(file.partition),
            rows=file.record_count,
            size=file.file_size_in_bytes,
            newest_us=newest_us,
            _task=task,
        )

    def per_day(self, where: Where = EVERYTHING) -> dict[int, int]:
        """Row counts of files that may match, by day since the epoch; needs daily partitions."""
        [index] = [
            index for index, cut in enumerate(self.spec.partitions) if cut.transform == "day"
        ]
        counts: dict[int, int] = {}
        for part in self.parts(where):
            day = int(part._task.file.partition[index])
            counts[day] = counts.get(day, 0) + part.rows
        return counts

    def read(self, parts: Iterable[Part], columns: Sequence[str] = ()) -> pl.DataFrame:
        """All rows of files, with some columns of the table; by default with all."""
        return self._rows([part._task for part in parts], AlwaysTrue(), columns)

    def scan(self, where: Where = EVERYTHING, columns: Sequence[str] = ()) -> pl.DataFrame:
        """The matching rows, in no particular order."""
        condition = expression(where)
        tasks = [part._task for part in self.parts(where)]
        return self._rows(tasks, condition, columns)

    def batches(
        self, where: Where = EVERYTHING, columns: Sequence[str] = ()
    ) -> Iterator[pl.DataFrame]:
        """Like `scan`, one frame per file, for more rows than fit into memory."""
        condition = expression(where)
        for part in self.parts(where):
            rows = self._rows([part._task], condition, columns)
            if rows.height:
                yield rows

    def _rows(
        self, tasks: list[FileScanTask], condition: BooleanExpression, columns: Sequence[str]
    ) -> pl.DataFrame:
        by_name = {column.name: column for column in self.spec.columns}
        wanted = [by_name[name] for name in columns] or self.spec.columns
        schema = schema_of(wanted)
        if not tasks:
            return pl.DataFrame(schema=schema)
        metadata = self._iceberg.metadata
        needed = {*schema, *(column.if_null for column in wanted)}
        stored = needed.intersection(metadata.schema().column_names)
        with translated_errors(f"reading {self.name}", self._properties):
            arrow = ArrowScan(
                metadata, self._iceberg.io, metadata.schema().select(*stored), condition
            ).to_table(tasks)
        frame = pl.from_arrow(arrow)
        assert isinstance(frame, pl.DataFrame)
        return _upgraded(frame, wanted, schema)

    # --- maintenance ---------------------------------------------------------------------------

    def expire(self, keep: int) -> int:
        """Expire all but the newest snapshots; returns the number of expired ones."""
        with translated_errors(f"expiring snapshots of {self.name}", self._properties):
            return maintenance.expire(self._iceberg, keep)

    def sweep(self, older_than_s: float, now_s: float, deleting: Callable[[], None]) -> int:
        """Delete files older than an age that no snapshot references; returns their number.

        Files younger than the current snapshot stay: they may belong to a commit in progress. A
        commit in progress with older files will be refused.
        """
        snapshot = self._iceberg.current_snapshot()
        if snapshot is None:
            return 0
        before_s = min(now_s - older_than_s, snapshot.timestamp_ms / 1000)
        with translated_errors(f"deleting files of {self.name}", self._properties):
            return maintenance.sweep(self._iceberg, before_s, deleting)

    # --- writing -------------------------------------------------------------------------------

    def upgrade(self) -> None:
        """Upgrade a table of an older format: add its missing columns, in one commit."""

        def add_columns(transaction: CachedTransaction) -> bool:
            if definition.table_format(self._iceberg) == CURRENT:
                return False
            definition.must_match(self._iceberg, self.spec)
            definition.upgrade(transaction, self._iceberg, self.spec)
            return True

        self._change("upgrading", add_columns)

    def begin_load(self) -> None:
        """Note that candles are published before their ticks get into this table."""
        self.set_property(LOADING, _TRUE)

    @property
    def is_loading(self) -> bool:
        """Whether candles may lack their ticks, as `begin_load` has noted."""
        return self.property(LOADING) == _TRUE

    def property(self, name: str) -> str | None:
        """The value of a property of the table; None if it has none."""
        return self._iceberg.metadata.properties.get(name)

    def set_property(self, name: str, value: str) -> None:
        """Set a property of the table."""

        def change(transaction: CachedTransaction) -> bool:
            is_new = self.property(name) != value
            if is_new:
                transaction.set_properties({name: value})
            return is_new

        self._change(f"setting {name} of", change)

    def _change(self, action: str, prepare: Callable[[CachedTransaction], bool]) -> None:
        """Change the metadata, while others change it too; `prepare` returns False if it is done.

        Raises LakeUnreachable if that does not succeed.
        """
        for _ in range(_MAX_CHANGES):
            with translated_errors(f"{action} {self.name}", self._properties):
                transaction = CachedTransaction(self._iceberg)
                if not prepare(transaction):
                    return
            try:
                self._send(transaction)
            except (CommitRefused, CommitUnknown) as error:
                log.warning("%s", error)
                self.refresh()
        raise LakeUnreachable(
            f"{action} {self.name} did not succeed", "start the catalog, then try again"
        )

    def upload(self, rows: pl.DataFrame) -> Uploaded:
        """Write rows to data files of their partitions; invisible until they are committed."""
        schema = self.spec.schema
        ordered = _sorted(rows.select(schema.names()).cast(schema), self.spec.sort)
        for column in self.spec.columns:
            if column.required and ordered[column.name].null_count():
                raise LakeError(
                    f"rows for {self.name} have no {column.name}", "check the source of these rows"
                )
        if ordered.is_empty():
            return Uploaded(0, ())
        missing = definition.missing_columns(self._iceberg, self.spec)
        if missing:
            raise TableMismatch(
                f"table {self.name} lacks {', '.join(column.name for column in missing)}",
                "start `homma land`, which upgrades the table",
            )
        files: list[DataFile] = []
        with translated_errors(f"writing to {self.name}", self._properties):
            for piece in _some_days_each(ordered, self.spec):
                table = piece.to_arrow(compat_level=pl.CompatLevel.oldest())
                assert isinstance(table, pa.Table)
                files += _dataframe_to_data_files(self._iceberg.metadata, table, self._iceberg.io)
        return Uploaded(ordered.height, tuple(files))

    def commit(
        self,
        added: Uploaded,
        removed: Sequence[Part] = (),
        offsets: Offsets | None = None,
        commit_id: str = "",
        sink: str = "",
        *,
        ends_load: bool = False,
    ) -> None:
        """Add files and remove others in one snapshot, with the offsets and ids in its summary.

        `ends_load`: the table then has the ticks that `begin_load` announced. Raises CommitRefused
        if the table has changed since it was loaded, and CommitUnknown if the outcome is unknown:
        then call `refresh` and `has_commit`.
        """
        values = {OFFSETS: offsets.text() if offsets else "", COMMIT_ID: commit_id, SINK: sink}
        summary = {name: value for name, value in values.items() if value}
        with translated_errors(f"committing to {self.name}", self._properties):
            transaction = CachedTransaction(self._iceberg)
            snapshot = MergingOverwrite(
                operation=operation(removes_files=bool(removed)),
                transaction=transaction,
                io=self._iceberg.io,
                snapshot_properties=summary,
            )
            for part in removed:
                snapshot.delete_data_file(part._task.file)
            for file in added._files:
                snapshot.append_data_file(file)
            snapshot.commit()
            properties = summary | ({LOADING: ""} if ends_load and self.is_loading else {})
            if properties:
                transaction.set_properties(properties)
        self._send(transaction)

    def _send(self, transaction: CachedTransaction) -> None:
        """Send the commit to the catalog, once."""
        iceberg, before = self._iceberg, self._iceberg.metadata
        requirements = (*transaction._requirements, AssertTableUUID(uuid=before.table_uuid))
        try:
            answer = iceberg.catalog.commit_table(iceberg, requirements, transaction._updates)
        except CommitFailedException as error:
            raise CommitRefused(
                f"{self.name} has changed ({str(error)[:200]})", "load the table again"
            ) from error
        except Exception as error:
            # Whatever the error, the catalog may have made the commit.
            why = translate_error(error, f"committing to {self.name}", self._properties)
            raise CommitUnknown(why.problem, why.remedy) from error
        iceberg.metadata, iceberg.metadata_location = answer.metadata, answer.metadata_location
        iceberg.catalog._delete_old_metadata(iceberg.io, before, answer.metadata)


def _upgraded(rows: pl.DataFrame, columns: Iterable[Column], schema: pl.Schema) -> pl.DataFrame:
    """Rows with the columns of `schema`, also those that older formats lack."""
    absent = [name for name in schema if name not in rows.columns]
    complete = rows.with_columns(pl.lit(None, schema[name]).alias(name) for name in absent)
    filled = [pl.col(c.name).fill_null(pl.col(c.if_null)) for c in columns if c.if_null]
    return complete.with_columns(filled).select(schema.names()).cast(schema)


def _some_days_each(rows: pl.DataFrame, spec: TableSpec) -> Iterator[pl.DataFrame]:
    """Cut rows of many daily partitions into pieces of a few days, in the same order.

    pyiceberg reads all rows that it is given once for each of their partitions.
    """
    columns = [cut.column for cut in spec.partitions if cut.transform == "day"]
    days = rows[columns[0]].dt.date() if columns else pl.Series(dtype=pl.Date)
    if days.n_unique() <= _DAYS_AT_ONCE:
        yield rows
        return
    piece = (days.rank("dense") // _DAYS_AT_ONCE).alias("piece")
    yield from rows.with_columns(piece).partition_by("piece", include_key=False)


def _sorted(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Sort by series, then by the rest of `by`, in which rows are nearly sorted already.

    Sorting by all columns at once, strings included, takes five times as long.
    """
    timed = rows.sort(by[len(NAMES) :])
    coded = encode(rows.select(NAMES).unique().sort(NAMES), timed.select(NAMES))
    return timed[coded.select(pl.arg_sort_by("series", maintain_order=True)).to_series()]
