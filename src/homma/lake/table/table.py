"""One table: its offsets, its files, reading it, and committing to it.

Nothing here is tried again: a commit is made on the snapshot that was looked at last, or it is
refused. `Table.refresh` looks again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import (
    AlwaysFalse,
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThan,
    Or,
)
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update import AssertTableUUID

from homma.core.series import NAMES, encode
from homma.errors import CommitRefused, CommitUnknown, LakeError
from homma.lake.offsets import Offsets, read_offsets
from homma.lake.schema import TableSpec
from homma.lake.table import maintenance
from homma.lake.table.catalog_client import Properties, asking, explained
from homma.lake.table.snapshots import OwnSnapshot, Replacing, operation

#: In the summary of a commit of ours, and as properties of the table.
OFFSETS: Final = "homma.offsets"
COMMIT_ID: Final = "homma.commit-id"
SINK: Final = "homma.sink"
_EVER_US: Final = 1 << 62
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Where:
    """Which rows: all conditions together. Microseconds of date_time, [since, until)."""

    series: tuple[tuple[str, str], ...] = ()
    symbols: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    at_us: tuple[int, ...] = ()
    final: bool | None = None


EVERYTHING: Final = Where()


@dataclass(frozen=True, slots=True)
class Part:
    """A data file of the snapshot that was looked at last."""

    path: str
    #: The values it is cut by: those of one partition have the same.
    partition: str
    rows: int
    size: int
    #: The largest date_time in it, microseconds; beyond all where the file does not say.
    newest_us: int
    _task: FileScanTask = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Data files in the storage that no snapshot knows yet."""

    rows: int
    _files: tuple[DataFile, ...] = field(repr=False)

    @classmethod
    def together(cls, some: Iterable["Uploaded"]) -> "Uploaded":
        """The files of several uploads."""
        every = list(some)
        return cls(sum(one.rows for one in every), tuple(f for one in every for f in one._files))


class Table:
    """A table as of the last look at it, or the last commit made here."""

    def __init__(self, iceberg: Iceberg, spec: TableSpec, properties: Properties) -> None:
        self.spec = spec
        self.name = ".".join(iceberg.name())
        self._iceberg = iceberg
        self._properties = properties

    def refresh(self) -> None:
        """Look again."""
        with asking(f"looking at {self.name}", self._properties):
            self._iceberg.refresh()

    @property
    def head(self) -> int | None:
        """The id of the snapshot that was looked at last; None while there is none."""
        return self._iceberg.metadata.current_snapshot_id

    def offsets(self) -> Offsets | None:
        """How far of its topic the table holds it; None where no sink has written to it."""
        text = self._iceberg.metadata.properties.get(OFFSETS) or self._newest(OFFSETS)
        return read_offsets(text) if text else None

    def sink(self) -> str | None:
        """The id of the sink whose table it is; None where none has claimed it."""
        return self._iceberg.metadata.properties.get(SINK) or self._newest(SINK)

    def holds(self, commit_id: str) -> bool:
        """Whether a commit of ours is among the snapshots."""
        if self._iceberg.metadata.properties.get(COMMIT_ID) == commit_id:
            return True
        return any(summary.get(COMMIT_ID) == commit_id for summary in self._summaries())

    def _newest(self, name: str) -> str | None:
        return next((s[name] for s in self._summaries() if name in s), None)

    def _summaries(self) -> Iterator[dict[str, str]]:
        """Of the snapshots that led to the head, newest first."""
        metadata = self._iceberg.metadata
        for snapshot in ancestors_of(metadata.current_snapshot(), metadata):
            yield snapshot.summary.additional_properties if snapshot.summary else {}

    # --- reading -------------------------------------------------------------------------------

    def parts(self, where: Where = EVERYTHING) -> list[Part]:
        """The data files that may hold such rows."""
        with asking(f"planning {self.name}", self._properties):
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
        """Rows by day since the epoch, of a table cut by day, in the files that may hold such."""
        [at] = [at for at, cut in enumerate(self.spec.cuts) if cut.transform == "day"]
        counts: dict[int, int] = {}
        for part in self.parts(where):
            day = int(part._task.file.partition[at])
            counts[day] = counts.get(day, 0) + part.rows
        return counts

    def read(self, parts: Iterable[Part], columns: Sequence[str] = ()) -> pl.DataFrame:
        """All rows of files, or some columns of them."""
        return self._rows([part._task for part in parts], AlwaysTrue(), columns)

    def scan(self, where: Where = EVERYTHING, columns: Sequence[str] = ()) -> pl.DataFrame:
        """The rows, in no particular order."""
        condition = expression(where)
        tasks = [part._task for part in self.parts(where)]
        return self._rows(tasks, condition, columns)

    def batches(
        self, where: Where = EVERYTHING, columns: Sequence[str] = ()
    ) -> Iterator[pl.DataFrame]:
        """The same, file by file: what does not fit into memory at once."""
        condition = expression(where)
        for part in self.parts(where):
            rows = self._rows([part._task], condition, columns)
            if rows.height:
                yield rows

    def _rows(
        self, tasks: list[FileScanTask], condition: BooleanExpression, columns: Sequence[str]
    ) -> pl.DataFrame:
        schema = self.spec.schema
        names = list(columns) or schema.names()
        wanted = pl.Schema({name: schema[name] for name in names})
        if not tasks:
            return pl.DataFrame(schema=wanted)
        metadata = self._iceberg.metadata
        with asking(f"reading {self.name}", self._properties):
            found = ArrowScan(
                metadata, self._iceberg.io, metadata.schema().select(*names), condition
            ).to_table(tasks)
        frame = pl.from_arrow(found)
        assert isinstance(frame, pl.DataFrame)
        return frame.select(names).cast(wanted)

    # --- upkeep --------------------------------------------------------------------------------

    def expire(self, keep: int) -> int:
        """Forget all but the newest snapshots; how many."""
        with asking(f"expiring snapshots of {self.name}", self._properties):
            return maintenance.expire(self._iceberg, keep)

    def sweep(self, older_than_s: float, now_s: float, deleting: Callable[[], None]) -> int:
        """Delete files that no snapshot reaches and that are so old; how many.

        Whatever is younger than the head stays too: it may belong to a commit that is being made.
        Older files can only belong to one that will be refused.
        """
        head = self._iceberg.current_snapshot()
        if head is None:
            return 0
        before_s = min(now_s - older_than_s, head.timestamp_ms / 1000)
        with asking(f"deleting files of {self.name}", self._properties):
            return maintenance.sweep(self._iceberg, before_s, deleting)

    # --- writing -------------------------------------------------------------------------------

    def upload(self, rows: pl.DataFrame) -> Uploaded:
        """Write rows into files of their partitions; nobody sees them before a commit."""
        wanted = self.spec.schema
        ordered = _ordered(rows.select(wanted.names()).cast(wanted), self.spec.sort)
        for column in self.spec.columns:
            if column.required and ordered[column.name].null_count():
                raise LakeError(
                    f"rows for {self.name} have no {column.name}", "see where they come from"
                )
        if ordered.is_empty():
            return Uploaded(0, ())
        table = ordered.to_arrow(compat_level=pl.CompatLevel.oldest())
        assert isinstance(table, pa.Table)
        with asking(f"writing to {self.name}", self._properties):
            files = _dataframe_to_data_files(self._iceberg.metadata, table, self._iceberg.io)
            return Uploaded(ordered.height, tuple(files))

    def commit(
        self,
        added: Uploaded,
        gone: Sequence[Part] = (),
        offsets: Offsets | None = None,
        commit_id: str = "",
        sink: str = "",
    ) -> None:
        """Add files and take others away in one snapshot, which says so with offsets and ids.

        Raises CommitRefused where the table has moved on since it was looked at, CommitUnknown
        where there is no telling: then `refresh` and ask whether it `holds` the id.
        """
        said = {OFFSETS: offsets.text() if offsets else "", COMMIT_ID: commit_id, SINK: sink}
        told = {name: value for name, value in said.items() if value}
        with asking(f"committing to {self.name}", self._properties):
            change = OwnSnapshot(self._iceberg)
            snapshot = Replacing(
                operation=operation(takes_away=bool(gone)),
                transaction=change,
                io=self._iceberg.io,
                snapshot_properties=told,
            )
            for part in gone:
                snapshot.delete_data_file(part._task.file)
            for file in added._files:
                snapshot.append_data_file(file)
            snapshot.commit()
            if told:
                change.set_properties(told)
        self._send(change)

    def _send(self, change: OwnSnapshot) -> None:
        """Ask the catalog, once."""
        iceberg, before = self._iceberg, self._iceberg.metadata
        requirements = (*change._requirements, AssertTableUUID(uuid=before.table_uuid))
        try:
            answer = iceberg.catalog.commit_table(iceberg, requirements, change._updates)
        except CommitFailedException as error:
            raise CommitRefused(
                f"{self.name} has moved on ({str(error)[:200]})", "look again"
            ) from error
        except Exception as error:
            # Whatever it was, the catalog may have done it.
            why = explained(error, f"committing to {self.name}", self._properties)
            raise CommitUnknown(why.what, why.remedy) from error
        iceberg.metadata, iceberg.metadata_location = answer.metadata, answer.metadata_location
        iceberg.catalog._delete_old_metadata(iceberg.io, before, answer.metadata)


def _ordered(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Sorted by series, then by the rest of `by`: rows come nearly in the order of the rest.

    To compare all of it at once, texts too, takes five times as long.
    """
    timed = rows.sort(by[len(NAMES) :])
    coded = encode(rows.select(NAMES).unique().sort(NAMES), timed.select(NAMES))
    return timed[coded.select(pl.arg_sort_by("series", maintain_order=True)).to_series()]


def expression(where: Where) -> BooleanExpression:
    """As pyiceberg wants it."""
    conditions = [
        _compared(In, "symbol", where.symbols) if where.symbols else None,
        _of_series(where.series) if where.series else None,
        _compared(GreaterThanOrEqual, "date_time", _instant(where.since_us)),
        _compared(LessThan, "date_time", _instant(where.until_us)),
        _compared(In, "date_time", [_instant(us) for us in where.at_us]) if where.at_us else None,
        _compared(EqualTo, "is_final", where.final),
    ]
    every: BooleanExpression = AlwaysTrue()
    for condition in conditions:
        every = And(every, condition) if condition is not None else every
    return every


def _of_series(series: Iterable[tuple[str, str]]) -> BooleanExpression:
    found: BooleanExpression = AlwaysFalse()
    for source, symbol in series:
        one = And(_compared(EqualTo, "source", source), _compared(EqualTo, "symbol", symbol))
        found = Or(found, one)
    return found


def _compared(how: Any, column: str, value: object) -> Any:
    """A condition; None where there is nothing to compare with. Their types know no values."""
    return None if value is None else how(column, value)


def _instant(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)
