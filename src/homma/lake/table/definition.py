"""Tables made as the contract wants them, and compared with it where they are there."""

from typing import Final

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform, Transform
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from homma.errors import TableMismatch
from homma.lake.schema import Kind, TableSpec
from homma.lake.schema import Transform as TransformName

_TYPES: Final[dict[Kind, PrimitiveType]] = {
    "string": StringType(),
    "double": DoubleType(),
    "long": LongType(),
    "int": IntegerType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
}
_TRANSFORMS: Final[dict[TransformName, Transform]] = {  # type: ignore[type-arg]
    "identity": IdentityTransform(),
    "day": DayTransform(),
    "month": MonthTransform(),
}
_FIRST_PARTITION_ID: Final = 1000
#: What keeps a commit as cheap on the last day as on the first.
PROPERTIES: Final = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "write.parquet.compression-codec": "zstd",
    # A series is a small part of a file: groups of rows small enough to be skipped.
    "write.parquet.row-group-limit": "65536",
    # Of numbers and instants that hardly repeat a dictionary is twice as large as they are.
    "write.parquet.dict-size-bytes": "65536",
}


def schema(spec: TableSpec) -> Schema:
    """The columns with ids in their order."""
    fields = [
        NestedField(number, column.name, _TYPES[column.kind], column.required, doc=column.comment)
        for number, column in enumerate(spec.columns, 1)
    ]
    ids = {field.name: field.field_id for field in fields}
    return Schema(*fields, identifier_field_ids=[ids[name] for name in spec.key])


def partitioning(spec: TableSpec, found: Schema) -> PartitionSpec:
    """The partition fields, named as Spark and Trino name them."""
    fields = [
        PartitionField(
            found.find_field(cut.column).field_id,
            number,
            _TRANSFORMS[cut.transform],
            cut.column if cut.transform == "identity" else f"{cut.column}_{cut.transform}",
        )
        for number, cut in enumerate(spec.cuts, _FIRST_PARTITION_ID)
    ]
    return PartitionSpec(*fields)


def sort_order(spec: TableSpec, found: Schema) -> SortOrder:
    """Ascending, nulls first."""
    return SortOrder(
        *(
            SortField(source_id=found.find_field(name).field_id, transform=IdentityTransform())
            for name in spec.sort
        )
    )


def properties(spec: TableSpec) -> dict[str, str]:
    """What a table is made with."""
    return {**PROPERTIES, "comment": spec.comment}


def must_match(found: Iceberg, spec: TableSpec) -> None:
    """Refuse a table of other columns or partitions; more columns than ours are refused too."""
    name = ".".join(found.name())
    wanted = [(c.name, str(_TYPES[c.kind]), c.required) for c in spec.columns]
    there = [(f.name, str(f.field_type), f.required) for f in found.schema().fields]
    if there != wanted:
        wrong = [_column(*row) for row in wanted if row not in there]
        extra = [_column(*row) for row in there if row not in wanted]
        lacks = f"lacks {', '.join(wrong)}" if wrong else f"has {', '.join(extra) or 'no order'}"
        raise TableMismatch(
            f"table {name} has another schema: it {lacks}",
            "rename or drop that table, or choose another --namespace",
        )
    cut = [
        (found.schema().find_column_name(f.source_id), str(f.transform))
        for f in found.spec().fields
    ]
    if cut != [(c.column, c.transform) for c in spec.cuts]:
        raise TableMismatch(
            f"table {name} is partitioned otherwise: {found.spec()}",
            "rename or drop that table, or choose another --namespace",
        )


def _column(name: str, kind: str, required: bool) -> str:
    return f"{name} {kind}{' required' if required else ''}"
