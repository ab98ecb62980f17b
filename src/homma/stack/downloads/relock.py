"""Rewrite the lock files: `python -m homma.stack.downloads.relock`, all or those that are named.

Resolves the coordinates below with jgo from Maven Central (only developers need jgo's resolver),
downloads every jar, checks it against the SHA-1 that the repository publishes, and writes the
lock files. Takes minutes; review the diff before you commit it.
"""

import hashlib
import sys
import tempfile
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext

from homma.errors import JarChanged
from homma.stack.downloads import archive
from homma.stack.downloads.archive import Archive, digest, unpack
from homma.stack.downloads.jars import MAVEN_CENTRAL, NOTE, Jar, Lock, maven_path

HERE: Final = Path(__file__).parent
PROJECT: Final = HERE.parents[3]

# Not 4.3.1 or 4.4.0: a broker that restarts after a crash may mistake a partition without a leader
# for a deleted one (KAFKA-20734), and then never completes the transactions that were being
# committed there. Readers of committed records wait for them forever.
KAFKA: Final = "4.2.2"
# The line of log4j that Kafka was built with; its slf4j-api is 1.7, hence slf4j-impl, not slf4j2.
LOG4J: Final = "2.25.5"
TRINO: Final = "476"
ICEBERG: Final = "1.12.0"
REST_CATALOG: Final = "1.10.0"
FLINK: Final = "2.3.0"
FLINK_KAFKA: Final = "5.0.0-2.2"


@dataclass(frozen=True, slots=True)
class LockSpec:
    """The contents of a lock: `coordinates` with their dependencies, and `extra` without.

    `is_complete`: the coordinates need no dependencies, so nothing is resolved.
    """

    path: Path
    name: str
    version: str
    coordinates: tuple[str, ...]
    is_complete: bool = False
    extra: tuple[str, ...] = ()


LOCKS: Final = (
    LockSpec(
        HERE / "kafka.lock.toml",
        "kafka",
        KAFKA,
        (
            f"org.apache.kafka:kafka_2.13:{KAFKA}",
            f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
            f"org.apache.logging.log4j:log4j-core:{LOG4J}",
        ),
    ),
    # Flink's distribution is not on Maven Central; these are its parts.
    LockSpec(
        HERE / "flink.lock.toml",
        "flink",
        FLINK,
        (
            f"org.apache.flink:flink-clients:{FLINK}",
            f"org.apache.flink:flink-statebackend-rocksdb:{FLINK}",
            f"org.apache.flink:flink-connector-base:{FLINK}",
            f"org.apache.flink:flink-table-planner-loader:{FLINK}",
            f"org.apache.flink:flink-table-runtime:{FLINK}",
            f"org.apache.flink:flink-table-api-java-uber:{FLINK}",
            f"org.apache.flink:flink-json:{FLINK}",
            f"org.apache.flink:flink-sql-client:{FLINK}",
            f"org.apache.flink:flink-sql-gateway:{FLINK}",
            f"org.apache.flink:flink-sql-connector-kafka:{FLINK_KAFKA}",
            f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
            f"org.apache.logging.log4j:log4j-core:{LOG4J}",
        ),
    ),
    # The jars that Spark needs to read the lake; Spark itself is pinned in the same folder.
    LockSpec(
        PROJECT / "deploy/spark/jars.lock.toml",
        "spark",
        ICEBERG,
        (
            f"org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:{ICEBERG}",
            f"org.apache.iceberg:iceberg-aws-bundle:{ICEBERG}",
        ),
        is_complete=True,
    ),
    # Apache's REST catalog with the jars of its image, for `make test-minio`.
    LockSpec(
        PROJECT / "tests/support/rest_catalog.lock.toml",
        "rest-catalog",
        REST_CATALOG,
        (
            f"org.apache.iceberg:iceberg-core:{REST_CATALOG}",
            f"org.apache.iceberg:iceberg-aws:{REST_CATALOG}",
            "org.eclipse.jetty:jetty-servlet:11.0.26",
            "org.xerial:sqlite-jdbc:3.50.3.0",
            "org.slf4j:slf4j-simple:2.0.17",
        ),
        extra=(
            f"org.apache.iceberg:iceberg-open-api:{REST_CATALOG}:jar:test-fixtures",
            f"org.apache.iceberg:iceberg-core:{REST_CATALOG}:jar:tests",
            f"org.apache.iceberg:iceberg-aws-bundle:{REST_CATALOG}",
            "org.apache.hadoop:hadoop-client-api:3.4.1",
            "org.apache.hadoop:hadoop-client-runtime:3.4.1",
        ),
    ),
)
TRINO_KEEPS: Final = (
    "NOTICE",
    "README.txt",
    "lib/",
    "plugin/iceberg/",
    "plugin/kafka/",
    "plugin/memory/",
    "plugin/tpch/",
)


def resolve(roots: tuple[str, ...], cache: Path) -> list[str]:
    """Return the coordinates of `roots` and of their runtime dependencies; roots set versions."""
    context = MavenContext(repo_cache=cache, remote_repos={"central": MAVEN_CENTRAL})
    dependencies = [context.create_dependency(root) for root in roots]
    for dependency in dependencies:
        # Otherwise jgo uses every root's parent as a bill of materials, and log4j's parent pins
        # kafka-clients to 3.9, with which the broker does not start.
        dependency.raw = True
    inputs, others = context.resolver.resolve(dependencies)
    needed = [*inputs, *(item for item in others if item.scope in ("compile", "runtime"))]
    return [f"{item.groupId}:{item.artifactId}:{item.version}" for item in needed]


def lock_of(name: str, version: str, coordinates: list[str]) -> Lock:
    """Download every coordinate to lock its size and sha256. Raises JarChanged on a bad SHA-1."""
    return Lock(name, version, tuple(_jar(coordinate) for coordinate in coordinates))


def _jar(coordinate: str, keep_as: Path | None = None) -> Jar:
    url = f"{MAVEN_CENTRAL}/{maven_path(coordinate)}"
    body = _get(url)
    published = _get(f"{url}.sha1").decode("ascii").split()[0]
    # Not for security: the repository publishes no stronger hash for all of its jars.
    if hashlib.sha1(body, usedforsecurity=False).hexdigest() != published:
        raise JarChanged(f"{url} does not have the published SHA-1", "try again later")
    if keep_as:
        keep_as.write_bytes(body)
    return Jar(coordinate, hashlib.sha256(body).hexdigest(), len(body))


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - Maven Central's URL
        body: bytes = response.read()
        return body


def render(lock: Lock) -> str:
    """Render a lock as TOML."""
    lines = [
        NOTE,
        f'name = "{lock.name}"',
        f'version = "{lock.version}"',
    ]
    for jar in lock.jars:
        lines += [
            "",
            "[[jar]]",
            f'coordinate = "{jar.coordinate}"',
            f'sha256 = "{jar.sha256}"',
            f"size = {jar.size}",
        ]
    return "\n".join(lines) + "\n"


def archive_of(name: str, version: str, coordinate: str, keep: tuple[str, ...]) -> Archive:
    """Download an archive and unpack it, to lock the digest of its files."""
    with tempfile.TemporaryDirectory() as folder:
        packed, target = Path(folder) / "packed", Path(folder) / "unpacked"
        jar = _jar(coordinate, packed)
        unpack(packed, keep, target)
        return Archive(name, version, jar, keep, digest(target))


def main(names: Collection[str]) -> int:
    """Resolve and write all locks, or only those in `names`."""
    for spec in LOCKS:
        if names and spec.name not in names:
            continue
        coordinates = [*spec.coordinates]
        if not spec.is_complete:
            with tempfile.TemporaryDirectory() as folder:
                coordinates = resolve(spec.coordinates, Path(folder))
        coordinates += spec.extra
        lock = lock_of(spec.name, spec.version, coordinates)
        spec.path.write_text(render(lock), encoding="utf-8")
    if not names or "trino" in names:
        trino = archive_of("trino", TRINO, f"io.trino:trino-server:{TRINO}:tar.gz", TRINO_KEEPS)
        (HERE / f"trino{archive.SUFFIX}").write_text(archive.render(trino), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
