"""A lake for tests of the stack: SeaweedFS with a table of at least three rows."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pyiceberg.catalog import Catalog, load_catalog

from homma.stack.processes.process import Process
from homma.stack.servers.credentials import Credentials, read_credentials
from homma.stack.servers.seaweed import Seaweed
from homma.stack.servers.seaweed_settings import Ports

ROWS = pl.DataFrame({"number": [1, 2, 3]}).to_arrow()


@dataclass(frozen=True)
class RunningLake:
    """A running server with a table."""

    server: Seaweed
    process: Process
    login: Credentials


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
    """Append three rows to the table; return its number of rows."""
    lake = catalog(home, ports)
    lake.create_namespace_if_not_exists("space")
    table = lake.create_table_if_not_exists("space.table", schema=ROWS.schema)
    table.append(ROWS)
    return len(table.scan().to_arrow())
