"""What a feed definition says: the format of records, and where each field of a tick comes from.

A definition has no file, client or clock. `toml.py` reads it, and `tick_reader.py` applies it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from homma.core.fields import TICK_FIELDS
from homma.feed.instants import Unit

Format = Literal["json", "ndjson", "csv", "parquet"]
FORMATS: Final[tuple[Format, ...]] = ("json", "ndjson", "csv", "parquet")
#: What an empty value means: the field is absent, or it is as in the row before.
Empty = Literal["absent", "unchanged"]
#: The fields of a tick by their names in a definition, which are those of the tick table.
BY_NAME: Final = {row.column: row for row in TICK_FIELDS}
#: What is known of a Kafka record beside its value. Files have none of these.
RECORD_TIMESTAMP: Final = "@timestamp"
RECORD_KEY: Final = "@key"


@dataclass(frozen=True, slots=True)
class FieldOrigin:
    """Where the values of a field come from, and how they are written.

    paths: paths into a JSON record, such as bids.0.price, or names of columns; the texts of several
    are joined with a space. constant: the value of all ticks, instead of a path. replace: texts to
    replace within a value. values: the values of the field by those of the record. decimal: the
    decimal separator. scale_digits: the number of digits by which whole numbers are scaled down.
    nulls: values that stand for none. empty: what an empty value means.

    Of dates: unit is that of numbers, pattern a strftime pattern, and zone the time zone of dates
    that have none.
    """

    paths: tuple[str, ...] = ()
    constant: str = ""
    replace: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    scale_digits: int = 0
    nulls: tuple[str, ...] = ()
    empty: Empty = "absent"
    unit: Unit = "text"
    pattern: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class FeedDefinition:
    """How records become ticks.

    fields: by the name of the field, as in BY_NAME. where: a condition in SQL on paths or columns;
    other records are no ticks. each: the path of the records within a message, "." for a message
    that is an array. topic: the one that has the records, unless another one is named. columns: the
    names of the columns of CSV without a header. separator: of CSV. skip_lines: the number of lines
    before the header or the first row.
    """

    name: str
    format: Format
    fields: Mapping[str, FieldOrigin]
    about: str = ""
    where: str = ""
    each: str = ""
    topic: str = ""
    columns: tuple[str, ...] = ()
    separator: str = ","
    skip_lines: int = 0
