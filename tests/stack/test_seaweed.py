from pathlib import Path

import polars as pl
import psutil
from pyiceberg.catalog import Catalog, load_catalog

from homma.stack.credentials import read_credentials
from homma.stack.process import State
from homma.stack.seaweed import running
from homma.stack.seaweed_settings import Ports
from tests.stack.waiting import seaweed_ports

ROWS = pl.DataFrame({"number": [1, 2, 3]}).to_arrow()


def catalog(home: Path, ports: Ports) -> Catalog:
    login = read_credentials(home)
    assert login is not None
    return load_catalog(
        "lake",
        **{
            "type": "rest",
            "uri": f"http://127.0.0.1:{ports.catalog}",
            "oauth2-server-uri": f"http://127.0.0.1:{ports.catalog}/v1/oauth/tokens",
            "warehouse": "s3://lake",
            "credential": f"{login.access_key}:{login.secret_key}",
            "s3.endpoint": f"http://127.0.0.1:{ports.s3}",
            "s3.access-key-id": login.access_key,
            "s3.secret-access-key": login.secret_key,
            "s3.region": "us-east-1",
        },
    )


def append(home: Path, ports: Ports) -> int:
    """Append three rows to the table, and give how many it has then."""
    lake = catalog(home, ports)
    lake.create_namespace_if_not_exists("space")
    table = lake.create_table_if_not_exists("space.table", schema=ROWS.schema)
    table.append(ROWS)
    return len(table.scan().to_arrow())


def test_a_lake_for_the_length_of_a_block(tmp_path: Path) -> None:
    ports = seaweed_ports()
    with running(tmp_path, ports) as process:
        assert process.status.state is State.RUNNING
        assert append(tmp_path, ports) == 3
        pid = process.status.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
