"""A SeaweedFS for the duration of a measurement: S3 and an Iceberg catalog."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from homma.stack.servers import seaweed
from homma.stack.servers.credentials import ACCESS_KEY, SECRET_KEY, ensure_credentials
from homma.stack.servers.seaweed_settings import Ports


@dataclass(frozen=True)
class Storage:
    """Addresses and credentials of the storage."""

    properties: Mapping[str, str]
    flags: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


@contextmanager
def storage(port: int) -> Iterator[Storage]:
    """A temporary lake and folder."""
    with tempfile.TemporaryDirectory(prefix="homma-bench-") as home:
        folder = Path(home)
        login = ensure_credentials(folder)
        with seaweed.running(folder, Ports(port, port + 1, port + 2)):
            s3, catalog = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
            yield Storage(
                properties={
                    "uri": catalog,
                    "warehouse": "s3://lake",
                    "credential": f"{login.access_key}:{login.secret_key}",
                    "s3.endpoint": s3,
                    "s3.region": "us-east-1",
                    "s3.access-key-id": login.access_key,
                    "s3.secret-access-key": login.secret_key,
                },
                flags=("--catalog-uri", catalog, "--s3-endpoint", s3),
                environment={ACCESS_KEY: login.access_key, SECRET_KEY: login.secret_key},
                folder=folder,
            )


def takes_storage_port(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the port of the storage."""
    parser.add_argument(
        "--storage-port", type=int, default=18333, help="port of S3; the next ports are used, too"
    )
