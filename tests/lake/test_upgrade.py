"""Tables of format 1, as version 0.1 wrote them: read as they are, upgraded by `homma land`."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import polars as pl
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as Iceberg
from pyiceberg.transforms import DayTransform, IdentityTransform
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

from homma.core.interval import BY_CODE, MINUTE
from homma.errors import LakeError, StateError, TableMismatch
from homma.failpoint import Step
from homma.formats import CURRENT
from homma.lake import history
from homma.lake.audit import rows
from homma.lake.history import HistoryQuery
from homma.lake.schema import TICKS, candle_table
from homma.lake.table import Lake, Where
from tests.support.candle_rows import MINUTES, NOON, candle, candles, tick
from tests.support.landing import counts, verified
from tests.support.pipeline import tick as tick_json
from tests.support.sinks import Sinks

_TEXT, _INSTANT, _PRICE, _LONG = StringType(), TimestamptzType(), DoubleType(), LongType()
#: The columns of the tables in format 1, in their order: name, type, whether required.
CANDLE_COLUMNS: Final[tuple[tuple[str, PrimitiveType, bool], ...]] = (
    ("source", _TEXT, True),
    ("symbol", _TEXT, True),
    ("date_time", _INSTANT, True),
    ("open", _PRICE, True),
    ("high", _PRICE, True),
    ("low", _PRICE, True),
    ("close", _PRICE, True),
    ("volume", _LONG, True),
    ("open_date_time", _INSTANT, False),
    ("open_number", _LONG, False),
    ("close_date_time", _INSTANT, False),
    ("close_number", _LONG, False),
    ("is_final", BooleanType(), True),
    ("revision", IntegerType(), False),
    ("update_date_time", _INSTANT, False),
)
TICK_COLUMNS: Final[tuple[tuple[str, PrimitiveType, bool], ...]] = (
    ("source", _TEXT, True),
    ("symbol", _TEXT, True),
    ("date_time", _INSTANT, True),
    ("number", _LONG, True),
    ("ask", _PRICE, True),
    ("bid", _PRICE, True),
    ("mid", _PRICE, True),
    ("ask_markup", _PRICE, False),
    ("bid_markup", _PRICE, False),
    ("is_tradable", BooleanType(), False),
    ("receive_date_time", _INSTANT, False),
    ("kafka_partition", IntegerType(), True),
    ("kafka_offset", _LONG, True),
)
DAY = "2025-03-20T"


def create(
    lake: dict[str, str],
    namespace: str,
    name: str,
    columns: tuple[tuple[str, PrimitiveType, bool], ...],
) -> Iceberg:
    """Create a table of format 1 with pyiceberg's own client."""
    schema = Schema(
        *(
            NestedField(number, name, kind, required=required)
            for number, (name, kind, required) in enumerate(columns, 1)
        )
    )
    day = PartitionField(3, 1001, DayTransform(), "date_time_day")
    final = (
        [PartitionField(13, 1000, IdentityTransform(), "is_final")]
        if columns[12][0] == "is_final"
        else []
    )
    catalog = load_catalog("theirs", type="rest", **lake)
    catalog.create_namespace_if_not_exists(namespace)
    return catalog.create_table(
        (namespace, name), schema, partition_spec=PartitionSpec(*final, day)
    )


def write(table: Iceberg, rows: pl.DataFrame) -> None:
    names = [field.name for field in table.schema().fields]
    arrow = rows.select(names).to_arrow(compat_level=pl.CompatLevel.oldest())
    table.append(arrow.cast(table.schema().as_arrow()))


@pytest.fixture
def client(lake: dict[str, str], namespace: str) -> Iterator[Lake]:
    client = Lake(lake, namespace)
    yield client
    client.close()


OLD = (candle("A", final=True, volume=3), candle("B", volume=5))


@pytest.fixture
def minutes(lake: dict[str, str], namespace: str) -> Iceberg:
    """A table of 1-minute candles of format 1, with rows."""
    table = create(lake, namespace, MINUTES.name, CANDLE_COLUMNS)
    write(table, candles(*OLD))
    return table


def test_a_table_of_format_1_is_read_as_it_is(minutes: Iceberg, client: Lake) -> None:
    table = client.table(MINUTES)
    assert table.scan().sort("symbol").equals(candles(*OLD))
    assert table.scan(columns=["tick_count", "symbol"]).sort("symbol").rows() == [
        (3, "A"),
        (5, "B"),
    ]
    assert table.scan(Where(symbols=("Z",))).schema == MINUTES.schema
    core = rows.candles(table.scan(columns=rows.COLUMNS), MINUTE)
    assert core["tick_count"].sort().to_list() == [3, 5]
    now_us = int((NOON + timedelta(minutes=3)).timestamp()) * 1_000_000
    query = HistoryQuery("A", until_us=now_us)
    filled = history.candles(table, query, now_us, fill=True)
    assert filled["tick_count"].to_list() == [3, 0, 0]
    # Reading changes nothing, and neither does a writer of ticks.
    assert not client.has_table(TICKS)
    client.ensure_table(MINUTES)
    minutes.refresh()
    assert "tick_count" not in minutes.schema().column_names
    with pytest.raises(TableMismatch, match=r"lacks .*tick_count.*; start `homma land`"):
        table.upload(candles(candle("C")))


def test_a_table_is_upgraded_once_and_in_one_commit(minutes: Iceberg, client: Lake) -> None:
    before = minutes.metadata
    table = client.table(MINUTES)
    table.upgrade()
    table.upgrade()
    minutes.refresh()
    after = minutes.metadata
    assert after.properties["homma.format"] == str(CURRENT)
    added = minutes.schema().find_field("tick_count")
    assert (added.doc, added.required) == ("Number of ticks. Duplicates count once.", False)
    assert len(after.metadata_log) == len(before.metadata_log) + 1
    assert after.current_snapshot_id == before.current_snapshot_id
    # Rows of both formats.
    new = candle("C", volume=7, tick_count=6)
    table.commit(table.upload(candles(new)))
    assert client.table(MINUTES).scan().sort("symbol").equals(candles(*OLD, new))
    theirs = pl.from_arrow(minutes.refresh().scan().to_arrow())
    assert isinstance(theirs, pl.DataFrame)
    assert theirs.sort("symbol")["tick_count"].to_list() == [None, None, 6]


def test_an_upgrade_meets_another_commit(minutes: Iceberg, client: Lake) -> None:
    first, second = client.table(MINUTES), client.table(MINUTES)
    first.upgrade()
    second.upgrade()
    minutes.refresh()
    names = minutes.schema().column_names
    assert names.count("tick_count") == 1
    assert len(minutes.schemas()) == 2


def test_new_tables_and_tables_of_a_newer_homma(client: Lake, minutes: Iceberg) -> None:
    hours = candle_table(BY_CODE["h2"])
    client.ensure_table(hours)
    theirs = load_catalog("theirs", type="rest", **client._properties)
    table = theirs.load_table((*client._namespace, hours.name))
    assert table.properties["homma.format"] == str(CURRENT)
    for version, error, match in (
        (str(CURRENT + 1), StateError, "was written by a newer homma .* upgrade this homma"),
        ("new", LakeError, "is not a format version"),
    ):
        with table.transaction() as transaction:
            transaction.set_properties({"homma.format": version})
        for use in (client.table, client.has_table, client.ensure_table):
            with pytest.raises(error, match=match):
                use(hours)
    # A table of the current format has all columns.
    with minutes.transaction() as transaction:
        transaction.set_properties({"homma.format": str(CURRENT)})
    with pytest.raises(TableMismatch, match=r"it lacks .*tick_count long"):
        client.table(MINUTES)


def test_an_upgraded_table_of_ticks_takes_trades(lake: dict[str, str], namespace: str) -> None:
    """The prices of quotes were required before."""
    create(lake, namespace, TICKS.name, TICK_COLUMNS)
    client = Lake(lake, namespace)
    table = client.table(TICKS)
    table.upgrade()
    trade = tick(1, ask=None, bid=None, mid=None, price=1.5, size=Decimal("1e-12"), side="buy")
    frame = pl.DataFrame([trade], schema=TICKS.schema)
    table.commit(table.upload(frame))
    assert client.table(TICKS).scan().equals(frame)
    client.close()


def send(sinks: Sinks, first: int, count: int) -> None:
    ticks = [
        tick_json(f"{DAY}12:{n // 60:02}:{n % 60:02}", 1 + n % 7, n, symbol=f"S{n % 3}")
        for n in range(first, first + count)
    ]
    sinks.pipeline.send(*ticks)
    sinks.pipeline.work_off()


def downgrade(sinks: Sinks) -> None:
    """Make the tables of ticks and minutes anew, as format 1 has them, with the same content."""
    catalog = load_catalog("theirs", type="rest", **sinks.properties)
    for name, columns in ((TICKS.name, TICK_COLUMNS), (MINUTES.name, CANDLE_COLUMNS)):
        before, rows = sinks.table(name), sinks.rows(name)
        catalog.drop_table((sinks.namespace, name))
        table = create(dict(sinks.properties), sinks.namespace, name, columns)
        write(table, rows)
        with table.transaction() as transaction:
            kept = {n: v for n, v in before.properties.items() if n.startswith("homma.")}
            transaction.set_properties({n: v for n, v in kept.items() if n != "homma.format"})


def test_landing_upgrades_and_continues(sinks: Sinks) -> None:
    send(sinks, 0, 200)
    sinks.work_off()
    downgrade(sinks)
    # Verified as it is, with open and final candles.
    equal = sinks.pipeline.candles().height
    assert counts(verified(sinks)) == ({"equal": equal}, {"equal": equal})
    send(sinks, 200, 100)
    sinks.work_off()
    assert sinks.table(MINUTES.name).properties["homma.format"] == str(CURRENT)
    assert sinks.table(TICKS.name).properties["homma.format"] == str(CURRENT)
    assert sinks.check_ticks() == 300
    equal = sinks.pipeline.candles().height
    assert counts(verified(sinks)) == ({"equal": equal}, {"equal": equal})
    minutes = sinks.rows(MINUTES.name)
    # Rows that were written again have the count; the others lack it.
    has_count = minutes["tick_count"].is_not_null()
    assert 0 < has_count.sum() < minutes.height
    assert (minutes["tick_count"] == minutes["volume"]).filter(has_count).all()


def test_landing_is_killed_while_it_upgrades(sinks: Sinks) -> None:
    send(sinks, 0, 100)
    sinks.work_off()
    downgrade(sinks)
    send(sinks, 100, 100)
    # Requests to upgrade come first: the tables of ticks and minutes, in any order.
    steps = [(step, number) for number in (1, 2) for step in (Step.ASKING, Step.ANSWERED)]
    for step, number in steps:
        killed = sinks.start(env={"HOMMA_FAILPOINT": f"{step.value}:{number}"})
        assert killed.process.wait(120) == -9
        verified(sinks)
    sinks.work_off()
    assert sinks.check_ticks() == 200
    for name in (TICKS.name, MINUTES.name):
        table = sinks.table(name)
        assert table.properties["homma.format"] == str(CURRENT)
        names = table.schema().column_names
        assert all(one != other for one, other in pairwise(sorted(names)))
    assert verified(sinks).wrong == 0


def test_the_order_of_columns_does_not_matter(lake: dict[str, str], namespace: str) -> None:
    swapped = (*TICK_COLUMNS[:3], *TICK_COLUMNS[4:7], TICK_COLUMNS[3], *TICK_COLUMNS[7:])
    create(lake, namespace, TICKS.name, swapped)
    client = Lake(lake, namespace)
    table = client.table(TICKS)
    table.upgrade()
    row: dict[str, Any] = tick(1, ask=3.0, bid=1.0, mid=2.0, ask_markup=0.5)
    frame = pl.DataFrame([row], schema=TICKS.schema)
    table.commit(table.upload(frame))
    assert client.table(TICKS).scan().equals(frame)
    client.close()
