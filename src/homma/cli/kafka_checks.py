"""What `homma doctor` asks Kafka: whether topics and offsets are as the engine needs them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from homma.cli.checks import Finding
from homma.errors import HommaError, StateError
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import GroupReader, Reader
from homma.topics.offset_metadata import read_offset_metadata

_REACH_S: Final = 5.0
_SESSION_MS: Final = 6_000
#: A broker's clock that is further ahead of ours than this would make finality come early.
_AHEAD_MS: Final = 2_000
#: What has to be as the contract says, and the setting that says it where there is one.
_COMPARED: Final = {
    "cleanup.policy": "",
    "retention.ms": "or set the retention settings to what you want",
    "message.timestamp.type": "",
    "max.message.bytes": "",
}


@dataclass(frozen=True, slots=True)
class CheckedCluster:
    """Where to ask and what for; `own_port` is the port of a broker that runs in our folder."""

    kafka: Connection
    topics: TopicSettings
    group: str
    own_port: int | None
    now_ms: Callable[[], int]


def cluster(where: CheckedCluster) -> Iterator[Finding]:
    """All checks of a Kafka cluster; only the first where it is out of reach."""
    servers = where.kafka["bootstrap.servers"]
    try:
        # What librdkafka logs on its way to giving up is said in the finding.
        found = Admin({"log_level": "0", **where.kafka}).partitions(_REACH_S)
    except HommaError as error:
        yield _unreachable(where, servers, error)
        return
    yield Finding("Kafka", "ok", f"{servers} answers, {len(found)} topics")
    try:
        yield from topics(where, found)
        if where.topics.topic in found:
            yield from offsets(where, found[where.topics.topic])
            yield from clock(where, found[where.topics.topic])
    except HommaError as error:
        yield Finding("Kafka", "failure", error.what, error.remedy)


def _unreachable(where: CheckedCluster, servers: str, error: HommaError) -> Finding:
    if where.own_port is not None:
        ours = f"127.0.0.1:{where.own_port}"
        if servers != ours:
            remedy = f"`homma up` runs one here: name it with --bootstrap.servers {ours}"
            return Finding("Kafka", "failure", error.what, remedy)
    elif servers.startswith(("127.0.0.1:", "localhost:")):
        # The state of a machine on which nothing has been started yet is no fault of it.
        return Finding("Kafka", "warning", f"none at {servers}", "start one with `homma up`")
    return Finding("Kafka", "failure", error.what, error.remedy)


def topics(where: CheckedCluster, found: Mapping[str, int]) -> Iterator[Finding]:
    """Whether the topics are as the contract says; one finding where all are."""
    ticks = where.topics.topic
    specs = contract.specs(where.topics, found.get(ticks, where.topics.partitions))
    there = [spec for spec in specs if spec.name in found]
    missing = [spec.name for spec in specs if spec.name not in found]
    differing = [finding for spec in there for finding in _partitions(spec, found)]
    configs = Admin(where.kafka).configs([spec.name for spec in there])
    differing += [finding for spec in there for finding in _config(spec, configs[spec.name], ticks)]
    if missing:
        yield Finding(
            "topics",
            "warning",
            f"missing: {', '.join(missing)}",
            "`homma up`, `homma generate` and `homma aggregate` make them, and so may you, "
            "as docs/reference/topics.md says",
        )
    yield from differing
    if there and not differing:
        yield Finding("topics", "ok", f"{len(there)} of {len(specs)} there, as they should be")


def _partitions(spec: TopicSpec, found: Mapping[str, int]) -> Iterator[Finding]:
    count = found[spec.name]
    if count != spec.partitions:
        yield Finding(
            f"topic {spec.name}",
            "failure",
            f"{count} partitions where {spec.partitions} are needed, as many as the ticks have",
            "delete it, or choose another name for it with --candle-topic, --dead-topic or "
            "--late-topic",
        )


def _config(spec: TopicSpec, config: Mapping[str, str], ticks: str) -> Iterator[Finding]:
    for name, hint in _COMPARED.items():
        wanted, found = spec.config.get(name), config.get(name)
        if wanted is None or _parts(wanted) == _parts(found or ""):
            continue
        # Compaction would keep one tick of each series and drop the others.
        loses = spec.name == ticks and name == "cleanup.policy" and "compact" in (found or "")
        remedy = (
            f"kafka-configs --alter --topic {spec.name} --add-config {name}=[{wanted}]"
            f"{', ' if hint else ''}{hint}"
        )
        yield Finding(
            f"topic {spec.name}",
            "failure" if loses else "warning",
            f"{name} is {found}, not {wanted}",
            remedy,
        )


def _parts(text: str) -> set[str]:
    return set(text.split(","))


def offsets(where: CheckedCluster, partitions: int) -> Iterator[Finding]:
    """Whether the engine's committed offsets are its own and its ticks still there."""
    ticks = where.topics.topic
    topic_id = Admin(where.kafka).topic_id(ticks)
    reader, group = Reader(where.kafka), GroupReader(where.kafka, where.group, ticks, _SESSION_MS)
    try:
        behind, troubled, known = 0, False, 0
        for partition in range(partitions):
            committed, kept = group.committed(partition), reader.kept(ticks, partition)
            if committed is None:
                continue
            known += 1
            behind += max(0, kept.end - committed.offset)
            at = f"{ticks} partition {partition}"
            for finding in _offset(at, committed.offset, committed.metadata, kept.start, topic_id):
                troubled = True
                yield finding
    finally:
        group.close()
        reader.close()
    if not known:
        yield Finding("offsets", "ok", f"group {where.group} has read nothing of {ticks} yet")
    elif not troubled:
        found = (
            f"group {where.group}: {known} of {partitions} partitions, {behind:,} offsets behind"
        )
        yield Finding("offsets", "ok", found)


def _offset(
    at: str, offset: int, metadata: str, oldest: int, topic_id: str | None
) -> Iterator[Finding]:
    anew = "start `homma aggregate --rebuild`"
    if offset < oldest:
        yield Finding(
            "offsets",
            "failure",
            f"{oldest - offset} offsets of {at} were deleted by retention before they were read",
            f"raise --tick-retention, and {anew}",
        )
    try:
        mark = read_offset_metadata(metadata, at)
    except StateError as error:
        yield Finding("offsets", "failure", error.what, error.remedy)
        return
    if mark.topicId != topic_id:
        what = f"the committed offset of {at} belongs to an earlier topic of that name"
        yield Finding("offsets", "failure", what, f"{anew}, or name another --group")


def clock(where: CheckedCluster, partitions: int) -> Iterator[Finding]:
    """Whether the broker, which dates the ticks, is ahead of this machine."""
    ticks, ahead_ms = where.topics.topic, where.now_ms() + _AHEAD_MS
    reader = Reader(where.kafka)
    try:
        ahead = any(
            reader.since(ticks, partition, ahead_ms) is not None for partition in range(partitions)
        )
    finally:
        reader.close()
    if ahead:
        what = f"{ticks} has records dated more than {_AHEAD_MS / 1000:g} s ahead of this machine"
        yield Finding("clock", "warning", what, "set the clocks of brokers and machines by NTP")
    else:
        yield Finding("clock", "ok", "no record is ahead of this machine's clock")
