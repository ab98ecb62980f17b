"""A SeaweedFS of the tests' own: S3 and an Iceberg REST catalog, with credentials."""

import os
import subprocess
import sysconfig
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, RESTError
from requests import RequestException

from tests.stack.waiting import free_ports, until

_PORTS = (
    "-master.port", "-master.port.grpc", "-volume.port", "-volume.port.grpc", "-filer.port",
    "-filer.port.grpc", "-s3.port", "-s3.port.grpc", "-s3.port.iceberg", "-admin.port",
)  # fmt: skip


@dataclass(frozen=True)
class Weed:
    """Where it listens, and as whom one comes."""

    process: subprocess.Popen[bytes]
    s3_port: int
    catalog_port: int
    key: str
    secret: str

    @property
    def properties(self) -> dict[str, str]:
        return self.through(self.catalog_port, self.s3_port)

    def through(self, catalog_port: int, s3_port: int) -> dict[str, str]:
        """pyiceberg's properties, by way of other ports."""
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
        """The credentials as homma's verbs take them."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


@contextmanager
def running(folder: Path) -> Iterator[Weed]:
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    key, secret = uuid.uuid4().hex, uuid.uuid4().hex
    argv = [
        str(Path(sysconfig.get_path("scripts")) / "weed"), "mini", f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-tableBucket=lake", "-admin.ui=false",
        "-webdav=false", "-master.telemetry=false", "-disableHttp=true",
        *(f"{flag}={port}" for flag, port in ports.items()),
    ]  # fmt: skip
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        weed = Weed(process, ports["-s3.port"], ports["-s3.port.iceberg"], key, secret)
        until(lambda: _ready(weed))
        yield weed
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(weed: Weed) -> bool:
    assert weed.process.poll() is None, "weed ended by itself"
    try:
        # The bucket comes a little later than the catalog that is to show it.
        load_catalog("theirs", type="rest", **weed.properties).list_namespaces()
    except (RESTError, NoSuchNamespaceError, RequestException):
        return False
    return True
