"""The jars of an embedded server, from a committed lock and a cache.

A lock lists every jar by Maven coordinate, size and sha256. `fetch` downloads jars that are not in
the cache, and verifies all of them at every start. It never resolves dependencies: that happens
only when the lock is written (`homma.stack.downloads.relock`).
"""

import hashlib
import threading
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final

from homma.errors import JarChanged, StackError
from homma.stack.downloads.download import download

MAVEN_CENTRAL: Final = "https://repo.maven.apache.org/maven2"
CHUNK_BYTES: Final = 1 << 20
PARALLEL: Final = 6
#: The first line of every lock.
NOTE: Final = (
    "# Written by `python -m homma.stack.downloads.relock`; every start verifies these checksums."
)

Progress = Callable[[int, int], None]
"""Called with (bytes fetched, bytes to fetch), by one thread at a time but not always the same."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked file. `coordinate` is group:artifact:version[:packaging[:classifier]]."""

    coordinate: str
    sha256: str
    size: int

    @property
    def path(self) -> PurePosixPath:
        """Its path in a Maven repository, and in the cache."""
        return maven_path(self.coordinate)


@dataclass(frozen=True, slots=True)
class Lock:
    """The jars of one server, in class path order."""

    name: str
    version: str
    jars: tuple[Jar, ...]


def maven_path(coordinate: str) -> PurePosixPath:
    """Return the path of a coordinate relative to a repository's base URL."""
    group, artifact, version, *rest = coordinate.split(":")
    packaging = rest[0] if rest else "jar"
    classifier = f"-{rest[1]}" if len(rest) > 1 else ""
    folder = PurePosixPath(*group.split("."), artifact, version)
    return folder / f"{artifact}-{version}{classifier}.{packaging}"


def read_lock(name: str) -> Lock:
    """Read the committed lock `<name>.lock.toml`."""
    text = resources.files("homma.stack.downloads").joinpath(f"{name}.lock.toml").read_text("utf-8")
    return parse_lock(text)


def parse_lock(text: str) -> Lock:
    """Parse the TOML of a lock."""
    table = tomllib.loads(text)
    jars = (Jar(row["coordinate"], row["sha256"], row["size"]) for row in table["jar"])
    return Lock(table["name"], table["version"], tuple(jars))


def fetch(
    lock: Lock,
    cache: Path,
    progress: Progress | None = None,
    base_url: str = MAVEN_CENTRAL,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Path]:
    """Make sure that `cache` holds every jar of `lock`, byte for byte; return the class path.

    Missing jars are downloaded in parallel from `base_url`, a Maven repository over http or
    https, and moved into place when they are complete and verified. If none is missing, the
    network is not used. `sleep` waits between attempts at a download.

    Raises JarChanged for a file that differs from the locked one, in the cache or from the
    network, and StackError if a download fails or the cache cannot be written.
    """
    missing = [jar for jar in lock.jars if not (cache / jar.path).exists()]
    present = [jar for jar in lock.jars if jar not in missing]
    _run_all(lambda jar, _: _verify(jar, cache / jar.path), present)
    if missing:
        counter = _Counter(sum(jar.size for jar in missing), progress)

        def fetch_jar(jar: Jar, stop: threading.Event) -> None:
            _download(jar, cache, base_url, counter=counter, stop=stop, sleep=sleep)

        _run_all(fetch_jar, missing)
    return [cache / jar.path for jar in lock.jars]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _verify(jar: Jar, path: Path) -> None:
    try:
        is_unchanged = path.stat().st_size == jar.size and sha256_of(path) == jar.sha256
    except OSError as error:
        raise StackError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if not is_unchanged:
        raise JarChanged(
            f"{path} differs from the locked file of {jar.coordinate}",
            "delete the file; the next start downloads it again",
        )


def _download(
    jar: Jar,
    cache: Path,
    base_url: str,
    *,
    counter: "_Counter",
    stop: threading.Event,
    sleep: Callable[[float], None],
) -> None:
    url = f"{base_url.rstrip('/')}/{jar.path}"

    def check(temporary: Path) -> None:
        if sha256_of(temporary) != jar.sha256:
            raise JarChanged(
                f"{url} differs from the locked file of {jar.coordinate}",
                "use another Maven repository; this repository, or a proxy in between, changed the "
                "file",
            )

    download(url, cache / jar.path, count=counter.add, check=check, stop=stop, sleep=sleep)


@dataclass
class _Counter:
    """Adds up the bytes of all downloads."""

    total: int
    progress: Progress | None
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count
            if self.progress:
                self.progress(self.done, self.total)


def _run_all(work: Callable[[Jar, threading.Event], None], jars: list[Jar]) -> None:
    """Run `work` on all jars in parallel; the first failure, or Ctrl-C, stops the others."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="jars")
    try:
        futures: list[Future[None]] = [pool.submit(work, jar, stop) for jar in jars]
        for future in as_completed(futures):
            future.result()
    finally:
        # Running downloads check `stop` between chunks, so this does not wait for a big jar.
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
