"""SeaweedFS serves nothing without a login, on any port or socket."""

import http.client
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from homma.stack.servers.certificates import ensure_certificates
from homma.stack.servers.credentials import Credentials
from homma.stack.servers.seaweed import binary
from homma.stack.servers.seaweed_settings import CERTIFICATES, shell_arguments
from homma.stack.servers.signing import sign_request
from tests.stack.lakes import RunningLake, catalog

#: Port, method and path; {file} is a data file of the table, {fid} the id of its chunk.
REFUSED = [
    *(
        ("master", method, path)
        for method in ("GET", "POST")
        for path in (
            "/col/delete?collection=lake",
            "/dir/assign",
            "/dir/lookup?volumeId=1",
            "/submit",
            "/vol/grow?count=1",
            "/vol/vacuum",
            "/dir/status",
            "/vol/status",
            "/stats/counter",
            "/{fid}",
        )
    ),
    *(
        ("filer", method, path)
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE")
        for path in (
            "/",
            "/buckets/",
            "/buckets/lake/{file}",
            "/etc/",
            "/new",
            "/buckets?recursive=true",
            "/.tus/new",
        )
    ),
    *(
        ("volume", method, path)
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE")
        for path in (
            "/{fid}",
            "/{fid}.parquet",
        )
    ),
    *(("volume", "GET", path) for path in ("/ui/index.html", "/metrics", "/stats/counter")),
    *(
        ("s3", "GET", path)
        for path in (
            "/",
            "/lake",
            "/lake?list-type=2",
            "/lake/{file}",
            "/lake?policy",
            "/buckets",
            "/namespaces/lake",
        )
    ),
    *(
        ("s3", "PUT", path)
        for path in ("/lake/new", "/lake/{file}", "/new", "/lake?policy", "/buckets")
    ),
    *(("s3", "DELETE", path) for path in ("/lake/{file}", "/lake", "/buckets/lake")),
    *(
        ("s3", "POST", path)
        for path in (
            "/lake?delete",
            "/lake/new?uploads",
            "/?Action=CreateUser&UserName=x",
            "/?Action=AssumeRole&RoleArn=x&RoleSessionName=y",
        )
    ),
    *(
        ("catalog", "GET", "/v1/" + prefix + path)
        for prefix in ("", "lake/")
        for path in (
            "namespaces",
            "namespaces/space",
            "namespaces/space/tables",
            "namespaces/space/tables/table",
        )
    ),
    *(
        ("catalog", "POST", "/v1/" + prefix + path)
        for prefix in ("", "lake/")
        for path in (
            "namespaces",
            "namespaces/space/tables",
            "namespaces/space/tables/table",
            "namespaces/space/register",
            "tables/rename",
            "transactions/commit",
        )
    ),
    *(
        ("catalog", "DELETE", "/v1/" + prefix + path)
        for prefix in ("", "lake/")
        for path in (
            "namespaces/space",
            "namespaces/space/tables/table?purgeRequested=true",
        )
    ),
    ("catalog", "POST", "/v1/oauth/tokens"),
    *(
        ("admin", method, path)
        for method in ("GET", "POST", "PUT", "DELETE")
        for path in (
            "/",
            "/login",
            "/admin",
            "/api/config",
            "/api/s3/buckets",
            "/api/users",
            "/api/files",
            "/api/plugin/job-types",
            "/api/volumes/1/1/vacuum",
            "/maintenance",
            "/object-store/users",
        )
    ),
    *((part, "GET", "/debug/pprof/") for part in ("master", "filer", "volume", "s3", "admin")),
]
#: Public: health, statistics, and where the catalog's tables are.
PUBLIC = [
    ("master", "/"),
    ("master", "/cluster/healthz"),
    ("master", "/cluster/status"),
    ("volume", "/status"),
    ("volume", "/healthz"),
    ("s3", "/healthz"),
    ("s3", "/status"),
    ("admin", "/health"),
    ("admin", "/metrics"),
    ("catalog", "/v1/config?warehouse=s3%3A%2F%2Flake"),
]
GRPC = ("master gRPC", "volume gRPC", "filer gRPC", "s3 gRPC", "admin gRPC")
#: The start of an HTTP/2 connection; a server that accepts it answers with SETTINGS (type 4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


def request(lake: RunningLake, part: str, method: str, path: str) -> tuple[int, bytes]:
    """Send a request without a login, with a plausible body for POST and PUT."""
    connection = http.client.HTTPConnection("127.0.0.1", lake.server.ports.all()[part], timeout=30)
    headers = {"content-type": "application/json" if path.startswith("/v1") else "text/plain"}
    body = json.dumps({"namespace": ["new"], "name": "new"}) if method in ("POST", "PUT") else None
    connection.request(method, path, body, headers if body else {})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def shell(lake: RunningLake, line: str) -> str:
    """Run one line in SeaweedFS's own shell, which has a certificate."""
    command = [str(binary()), *shell_arguments(lake.server.ports)]
    return subprocess.run(
        command,
        input=line + "\n",
        cwd=lake.server.folder,
        timeout=60,
        text=True,
        check=True,
        capture_output=True,
    ).stdout


@pytest.fixture(scope="module")
def data_file(lake: RunningLake) -> dict[str, str]:
    """The path and chunk id of the table's first file."""
    table = catalog(lake.server.home, lake.server.ports).load_table("space.table")
    file = next(iter(table.scan().plan_files())).file.file_path.removeprefix("s3://lake/")
    output = shell(lake, f"fs.meta.cat /buckets/lake/{file}")
    entry = json.JSONDecoder().raw_decode(output[output.index("{") :])[0]
    return {"file": file, "fid": entry["chunks"][0]["fileId"]}


def test_reads_writes_and_deletes_need_a_login(
    lake: RunningLake, data_file: dict[str, str]
) -> None:
    table = catalog(lake.server.home, lake.server.ports).load_table("space.table")
    before = table.scan().to_arrow()
    statuses = {
        (part, method, path): request(lake, part, method, path.format(**data_file))[0]
        for part, method, path in REFUSED
    }
    assert {
        key: status for key, status in statuses.items() if status not in (400, 401, 403, 404, 405)
    } == {}
    # These exist and require a login.
    assert statuses["volume", "GET", "/{fid}"] == 401
    assert statuses["volume", "DELETE", "/{fid}"] == 401
    assert statuses["s3", "GET", "/lake/{file}"] == 403
    assert statuses["catalog", "GET", "/v1/lake/namespaces"] == 403
    client = catalog(lake.server.home, lake.server.ports)
    assert client.list_namespaces() == [("space",)]
    assert client.list_tables("space") == [("space", "table")]
    assert client.load_table("space.table").scan().to_arrow() == before


def test_public_pages_contain_no_secret(lake: RunningLake) -> None:
    text = (lake.server.home / "credentials.env").read_text()
    text += (lake.server.folder / "keys.env").read_text()
    secrets = [line.split("=", 1)[1].encode() for line in text.splitlines()]
    assert len(secrets) == 7
    for part, path in PUBLIC:
        status, body = request(lake, part, "GET", path)
        assert status == 200
        assert not [secret for secret in (*secrets, b"parquet") if secret in body]


def test_a_wrong_login_is_refused(lake: RunningLake) -> None:
    url = f"{lake.server.s3}/lake?list-type=2"

    def status(login: Credentials, at_s: float) -> int:
        try:
            with urllib.request.urlopen(
                sign_request("GET", url, login, "us-east-1", at_s)
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    now = time.time()
    assert status(lake.login, now) == 200
    assert status(replace(lake.login, secret_key="guessed"), now) == 403
    assert status(replace(lake.login, access_key="guessed"), now) == 403
    # A recorded request cannot be replayed a day later.
    assert status(lake.login, now - 86_400) == 403
    body = f"grant_type=client_credentials&client_id={lake.login.access_key}&client_secret=guessed"
    connection = http.client.HTTPConnection("127.0.0.1", lake.server.ports.catalog)
    form = {"content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/v1/oauth/tokens", body, form)
    assert connection.getresponse().status == 401
    connection.close()


def accepts(address: "tuple[str, int] | str", context: ssl.SSLContext | None) -> bool:
    """Whether a gRPC server accepts the connection, without or with TLS."""
    plain = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    plain.settimeout(30)
    try:
        with plain:
            plain.connect(address)
            channel = context.wrap_socket(plain) if context else plain
            with channel:
                channel.sendall(PREFACE)
                return channel.recv(9)[3:4] == b"\x04"
    except (ssl.SSLError, ConnectionError):
        return False


def tls_context(folder: Path | None) -> ssl.SSLContext:
    """TLS without server verification, with the client certificate of the folder, if any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if folder:
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_grpc_needs_a_certificate_on_every_port_and_socket(lake: RunningLake) -> None:
    own = tls_context(lake.server.folder / CERTIFICATES)
    ports = lake.server.ports.all()
    bound = psutil.Process(lake.process.status.pid).net_connections("unix")
    sockets = {c.laddr for c in bound if "-grpc-" in str(c.laddr)}
    assert len(sockets) == len(GRPC)
    for address in [*(("127.0.0.1", ports[name]) for name in GRPC), *sorted(sockets)]:
        assert accepts(address, own), address
        assert not accepts(address, None), address
        assert not accepts(address, tls_context(None)), address


def test_a_certificate_of_another_data_folder_is_refused(lake: RunningLake, tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    for name in GRPC:
        assert not accepts(("127.0.0.1", lake.server.ports.all()[name]), tls_context(tmp_path)), (
            name
        )
