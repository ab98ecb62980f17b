"""`homma up --with trino`: the lake and Trino with one command."""

from contextlib import closing

import pytest
import trino as client

from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]


def test_trino_starts_with_the_others_and_reads_landed_ticks(
    machine: Machine,
) -> None:
    started = machine.homma("up", "--detach", "--with", "trino", "--rate", "50")
    assert started.returncode == 0, started.stderr
    stage = machine.stages()["trino"]
    assert (stage["state"], stage["ports"]) == ("running", {"http": machine.trino})
    with closing(client.dbapi.Connection("127.0.0.1", machine.trino, "homma")) as connection:
        cursor = connection.cursor()

        def has_ticks() -> bool:
            try:
                cursor.execute("SELECT count(*) FROM iceberg.market_data.stock_ticks_iceberg")
                return bool(cursor.fetchall()[0][0])
            except client.exceptions.TrinoUserError as error:
                if error.error_name in ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND"):
                    return False
                raise

        until(has_ticks)
        cursor.execute("SELECT count(*) FROM iceberg.live.stock_ticks")
        assert cursor.fetchall()[0][0] > 0
        cursor.execute("SELECT volume, tick_count, vwap FROM iceberg.lake.candle_1month")
        assert all(volume == ticks and vwap is None for volume, ticks, vwap in cursor.fetchall())
    stopped = machine.homma("down")
    assert stopped.returncode == 0, stopped.stderr
    assert machine.processes() == []


def test_trino_without_a_lake_is_refused(machine: Machine) -> None:
    refused = machine.homma("up", "--with", "trino", "--no-lake")
    assert refused.returncode == 2
    assert "--no-lake" in refused.stderr
