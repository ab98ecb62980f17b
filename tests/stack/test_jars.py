import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from homma.errors import JarChanged, StackError
from homma.stack.downloads.jars import Jar, Lock, fetch, maven_path, parse_lock, read_lock
from homma.stack.downloads.relock import render

BODIES = {f"org.example:part{n}:1.{n}": bytes([n]) * (100_000 + n) for n in range(9)}


def jar_of(coordinate: str, body: bytes) -> Jar:
    return Jar(coordinate, hashlib.sha256(body).hexdigest(), len(body))


LOCK = Lock("parts", "1", tuple(jar_of(*item) for item in BODIES.items()))


@dataclass
class Repository:
    """A Maven repository that can return faults."""

    url: str
    files: dict[str, bytes]
    requests: list[str] = field(default_factory=list)
    # Faults for the next requests, one each: a status, or "cut".
    faults: list[int | str] = field(default_factory=list)


@pytest.fixture
def repository() -> Iterator[Repository]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            maven.requests.append(self.path)
            fault = maven.faults.pop(0) if maven.faults else None
            body = maven.files.get(self.path)
            if isinstance(fault, int) or body is None:
                self.send_error(fault if isinstance(fault, int) else 404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1000] if fault == "cut" else body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files = {f"/m2/{maven_path(coordinate)}": body for coordinate, body in BODIES.items()}
    maven = Repository(f"http://127.0.0.1:{server.server_port}/m2", files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield maven
    server.shutdown()
    thread.join()
    server.server_close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_coordinate_has_its_maven_path() -> None:
    assert str(maven_path("a.b:c:1")) == "a/b/c/1/c-1.jar"
    assert str(maven_path("a.b:c:1:tar.gz")) == "a/b/c/1/c-1.tar.gz"
    assert str(maven_path("a.b:c:1:jar:fixtures")) == "a/b/c/1/c-1-fixtures.jar"


def test_the_committed_lock_has_one_kafka_version() -> None:
    lock = read_lock("kafka")
    rows = [jar.coordinate.split(":") for jar in lock.jars]
    assert {version for group, _, version in rows if group == "org.apache.kafka"} == {lock.version}
    names = [(group, artifact) for group, artifact, _ in rows]
    assert len(set(names)) == len(names)
    # Without an slf4j binding Kafka logs nothing.
    assert {("org.apache.logging.log4j", "log4j-slf4j-impl"), ("org.slf4j", "slf4j-api")} <= {
        *names
    }
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size > 0 for jar in lock.jars)


def test_a_rendered_lock_parses_to_the_same_lock() -> None:
    assert parse_lock(render(LOCK)) == LOCK


def test_fetch_downloads_all_jars_and_reports_progress(
    repository: Repository, tmp_path: Path
) -> None:
    progress: list[tuple[int, int]] = []
    paths = fetch(LOCK, tmp_path, lambda *sizes: progress.append(sizes), repository.url)
    assert [path.read_bytes() for path in paths] == list(BODIES.values())
    total = sum(map(len, BODIES.values()))
    assert progress[-1] == (total, total)
    assert progress == sorted(progress)
    assert set(files_in(tmp_path)) == {*paths}


def test_a_warm_start_sends_no_requests(repository: Repository, tmp_path: Path) -> None:
    paths = fetch(LOCK, tmp_path, base_url=repository.url)
    count = len(repository.requests)
    assert fetch(LOCK, tmp_path, base_url=repository.url) == paths
    assert len(repository.requests) == count == len(BODIES)


def test_only_missing_jars_are_downloaded(repository: Repository, tmp_path: Path) -> None:
    paths = fetch(LOCK, tmp_path, base_url=repository.url)
    paths[4].unlink()
    repository.requests.clear()
    fetch(LOCK, tmp_path, base_url=repository.url)
    assert repository.requests == [f"/m2/{LOCK.jars[4].path}"]


@pytest.mark.parametrize("change", ["byte", "length"])
def test_a_changed_jar_in_the_cache_is_reported(
    repository: Repository, tmp_path: Path, change: str
) -> None:
    paths = fetch(LOCK, tmp_path, base_url=repository.url)
    body = bytearray(paths[7].read_bytes())
    if change == "byte":
        body[50_000] ^= 1
    else:
        body += b"x"
    paths[7].write_bytes(body)
    with pytest.raises(
        JarChanged, match=r"part7-1\.7\.jar differs from the locked file.*; delete the file"
    ) as error:
        fetch(LOCK, tmp_path, base_url=repository.url)
    assert str(paths[7]) in error.value.problem


def test_a_changed_jar_from_the_network_is_not_cached(
    repository: Repository, tmp_path: Path
) -> None:
    repository.files[f"/m2/{LOCK.jars[2].path}"] = b"x" * LOCK.jars[2].size
    with pytest.raises(JarChanged, match=r"part2-1\.2\.jar differs from the locked file"):
        fetch(LOCK, tmp_path, base_url=repository.url)
    assert not (tmp_path / LOCK.jars[2].path).exists()
    assert all(path.suffix == ".jar" and path.name[0] != "." for path in files_in(tmp_path))


@pytest.mark.parametrize("fault", [503, 429, "cut"])
def test_a_transient_fault_is_retried(
    repository: Repository, tmp_path: Path, fault: int | str
) -> None:
    repository.faults = [fault, fault]
    waits: list[float] = []
    progress: list[tuple[int, int]] = []
    lock = Lock("one", "1", LOCK.jars[:1])
    paths = fetch(
        lock, tmp_path, lambda *sizes: progress.append(sizes), repository.url, waits.append
    )
    assert paths[0].read_bytes() == next(iter(BODIES.values()))
    assert waits == [1.0, 2.0]
    assert progress[-1][0] == progress[-1][1]


def test_a_missing_jar_is_not_retried(repository: Repository, tmp_path: Path) -> None:
    repository.files.clear()
    waits: list[float] = []
    with pytest.raises(StackError, match=r"/m2/org/example/.*HTTP 404; check the network"):
        fetch(LOCK, tmp_path, base_url=repository.url, sleep=waits.append)
    assert waits == []
    assert files_in(tmp_path) == []


def test_an_unreachable_repository_is_reported(tmp_path: Path) -> None:
    waits: list[float] = []
    lock = Lock("one", "1", LOCK.jars[:1])
    with pytest.raises(StackError, match=r"http://127\.0\.0\.1:1/m2/.*could not be downloaded"):
        fetch(lock, tmp_path, base_url="http://127.0.0.1:1/m2", sleep=waits.append)
    assert len(waits) == 3


def test_only_http_urls_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="not an http or https address"):
        fetch(LOCK, tmp_path, base_url="file:///etc")


def test_an_interruption_leaves_only_complete_jars(repository: Repository, tmp_path: Path) -> None:
    class Interrupted(Exception): ...

    def interrupt(done: int, _: int) -> None:
        if done > 300_000:
            raise Interrupted

    with pytest.raises(Interrupted):
        fetch(LOCK, tmp_path, interrupt, repository.url)
    cached = {path.relative_to(tmp_path).as_posix(): path for path in files_in(tmp_path)}
    locked = {str(jar.path): jar for jar in LOCK.jars}
    assert set(cached) < set(locked)
    assert all(path.stat().st_size == locked[name].size for name, path in cached.items())


def test_an_unwritable_cache_is_reported(repository: Repository, tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file")
    with pytest.raises(StackError, match=r"cache/org/example/.* cannot be written"):
        fetch(LOCK, blocked, base_url=repository.url)
