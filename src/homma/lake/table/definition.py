"""Iceberg definitions of the tables, and the check of existing tables against them."""

from collections.abc import Sequence
from typing import Final

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as Iceberg
from pyiceberg.table import Transaction
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform
from pyiceberg.transforms import Transform as IcebergTransform
from pyiceberg.types import (
    BooleanType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from homma import formats
from homma.errors import TableMismatch
from homma.formats import CURRENT, format_of
from homma.lake.schema import Column, Kind, TableSpec, Transform

_TYPES: Final[dict[Kind, PrimitiveType]] = {
    "string": StringType(),
    "double": DoubleType(),
    "decimal": DecimalType(38, 12),
    "long": LongType(),
    "int": IntegerType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
}
_TRANSFORMS: Final[dict[Transform, IcebergTransform]] = {  # type: ignore[type-arg]
    "identity": IdentityTransform(),
    "day": DayTransform(),
    "month": MonthTransform(),
}
_FIRST_PARTITION_ID: Final = 1000
#: The property of a table with its format version. A table of format 1 does not have it.
FORMAT: Final = f"homma.{formats.FORMAT}"
#: Keep the cost of a commit constant as the table grows.
PROPERTIES: Final = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "write.parquet.compression-codec": "zstd",
    # A series is a small part of a file: small row groups, so that readers can skip most.
    "write.parquet.row-group-limit": "65536",
    # For values that hardly repeat, a dictionary would be twice as large as the values.
    "write.parquet.dict-size-bytes": "65536",
}


def schema(spec: TableSpec) -> Schema:
    """The columns, with ids in their order."""
    fields = [
        NestedField(number, column.name, _TYPES[column.kind], column.required, doc=column.comment)
        for number, column in enumerate(spec.columns, 1)
    ]
    ids = {field.name: field.field_id for field in fields}
    return Schema(*fields, identifier_field_ids=[ids[name] for name in spec.key])


def partitioning(spec: TableSpec, schema: Schema) -> PartitionSpec:
    """The partition fields, with the names that Spark and Trino give them."""
    fields = [
        PartitionField(
            schema.find_field(part.column).field_id,
            number,
            _TRANSFORMS[part.transform],
            part.column if part.transform == "identity" else f"{part.column}_{part.transform}",
        )
        for number, part in enumerate(spec.partitions, _FIRST_PARTITION_ID)
    ]
    return PartitionSpec(*fields)


def sort_order(spec: TableSpec, schema: Schema) -> SortOrder:
    """Ascending, nulls first."""
    return SortOrder(
        *(
            SortField(source_id=schema.find_field(name).field_id, transform=IdentityTransform())
            for name in spec.sort
        )
    )


def properties(spec: TableSpec) -> dict[str, str]:
    """The properties of a new table."""
    return {**PROPERTIES, "comment": spec.comment, FORMAT: str(CURRENT)}


def must_match(iceberg: Iceberg, spec: TableSpec) -> None:
    """Raise TableMismatch for other columns (also for additional ones) or partitions.

    Columns are matched by name. A table of an older format may lack optional columns, and require
    a column that is optional now. Raises StateError if a newer homma wrote the table.
    """
    name = ".".join(iceberg.name())
    version = table_format(iceberg)
    is_older = version < CURRENT
    absent = {c.name for c in missing_columns(iceberg, spec)} if is_older else ()
    strict = {c.name for c in strict_columns(iceberg, spec)} if is_older else ()
    expected = [
        (c.name, str(_TYPES[c.kind]), c.required or c.name in strict)
        for c in spec.columns
        if c.name not in absent
    ]
    actual = [(f.name, str(f.field_type), f.required) for f in iceberg.schema().fields]
    missing = [_column(*row) for row in expected if row not in actual]
    extra = [_column(*row) for row in actual if row not in expected]
    if missing or extra:
        difference = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(extra)}"
        raise TableMismatch(
            f"table {name} has a different schema: it {difference}",
            "rename or drop that table, or choose another --namespace",
        )
    partitions = [
        (iceberg.schema().find_column_name(f.source_id), str(f.transform))
        for f in iceberg.spec().fields
    ]
    expected_partitions = [(c.column, c.transform) for c in spec.partitions]
    if partitions != expected_partitions:
        raise TableMismatch(
            f"table {name} is partitioned by {_partitions(partitions)} instead of "
            f"{_partitions(expected_partitions)}",
            "rename or drop that table, or choose another --namespace",
        )


def table_format(iceberg: Iceberg) -> int:
    """The format version of a table. Raises StateError if a newer homma wrote the table."""
    text = iceberg.properties.get(FORMAT, "1")
    name = ".".join(iceberg.name())
    if not text.isdecimal():
        raise TableMismatch(
            f"the property {FORMAT} of table {name} is not a format version ({text[:40]})",
            f"set the property to the table's format: 1, or up to {CURRENT}",
        )
    return format_of(int(text), f"table {name}")


def missing_columns(iceberg: Iceberg, spec: TableSpec) -> list[Column]:
    """The optional columns that a table does not have yet."""
    names = set(iceberg.schema().column_names)
    return [c for c in spec.columns if c.name not in names and not c.required]


def strict_columns(iceberg: Iceberg, spec: TableSpec) -> list[Column]:
    """The optional columns that a table still requires."""
    required = {field.name for field in iceberg.schema().fields if field.required}
    return [c for c in spec.columns if c.name in required and not c.required]


def upgrade(transaction: Transaction, iceberg: Iceberg, spec: TableSpec) -> None:
    """Add the missing columns to a table and set its format, in one commit.

    Columns that have become optional are no longer required.
    """
    missing, strict = missing_columns(iceberg, spec), strict_columns(iceberg, spec)
    if missing or strict:
        with transaction.update_schema() as update:
            for column in missing:
                update.add_column(column.name, _TYPES[column.kind], doc=column.comment)
            for column in strict:
                update.update_column(column.name, required=False)
    transaction.set_properties({FORMAT: str(CURRENT)})


def _partitions(parts: Sequence[tuple[str | None, str]]) -> str:
    names = (str(name) if kind == "identity" else f"{kind}({name})" for name, kind in parts)
    return ", ".join(names) or "nothing"


def _column(name: str, kind: str, required: bool) -> str:
    return f"{name} {kind}{' required' if required else ''}"
