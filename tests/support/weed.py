"""SeaweedFS for tests: S3 and an Iceberg REST catalog, with credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from homma.stack.processes.process import Process
from homma.stack.servers import seaweed
from homma.stack.servers.credentials import read_credentials
from homma.stack.servers.seaweed import Seaweed
from tests.support.waiting import seaweed_ports


@dataclass(frozen=True)
class Weed:
    """Ports and credentials."""

    s3_port: int
    catalog_port: int
    key: str
    secret: str

    @property
    def properties(self) -> dict[str, str]:
        return self.through(self.catalog_port, self.s3_port)

    def through(self, catalog_port: int, s3_port: int) -> dict[str, str]:
        """Properties for pyiceberg, through other ports."""
        return {
            "uri": f"http://127.0.0.1:{catalog_port}",
            "oauth2-server-uri": f"http://127.0.0.1:{catalog_port}/v1/oauth/tokens",
            "warehouse": "s3://lake",
            "credential": f"{self.key}:{self.secret}",
            "s3.endpoint": f"http://127.0.0.1:{s3_port}",
            "s3.access-key-id": self.key,
            "s3.secret-access-key": self.secret,
            "s3.region": "us-east-1",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The credentials for homma's commands."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


@contextmanager
def running(folder: Path) -> Iterator[Weed]:
    """Start the server of `homma up`, with its own credentials."""
    with restartable(folder) as (weed, _, _):
        yield weed


@contextmanager
def restartable(folder: Path) -> Iterator[tuple[Weed, Process, Seaweed]]:
    """Start the same, with its process, which restarts when killed, and its folders."""
    ports = seaweed_ports()
    with seaweed.running(folder, ports) as process:
        login = read_credentials(folder)
        assert login is not None
        weed = Weed(ports.s3, ports.catalog, login.access_key, login.secret_key)
        yield weed, process, Seaweed(folder, ports)
