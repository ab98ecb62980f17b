"""The checks of `homma doctor` on Kafka: topics, offsets and clocks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from homma.cli.checks.machine_checks import Finding
from homma.errors import HommaError, StateError
from homma.settings import TopicSettings
from homma.topics import contract
from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.identity import TopicState, ends_before, topic_state
from homma.topics.kafka.reading import Committed, GroupOffsets, Range, Reader
from homma.topics.offset_metadata import read_offset_metadata

_REACH_S: Final = 5.0
#: If a broker's clock is further ahead than this, candles become final too early.
_AHEAD_MS: Final = 2_000
#: Topic configurations that the contract sets, and a hint on the setting, if there is one.
_COMPARED: Final = {
    "cleanup.policy": "",
    "retention.ms": "or change the retention settings",
    "message.timestamp.type": "",
    "max.message.bytes": "",
}


@dataclass(frozen=True, slots=True)
class CheckedCluster:
    """The cluster to check; `own_port` is the port of a broker that runs in the data folder."""

    connection: Connection
    topics: TopicSettings
    group: str
    own_port: int | None
    now_ms: Callable[[], int]


def cluster(target: CheckedCluster) -> Iterator[Finding]:
    """Run all checks of a Kafka cluster; only the first if no broker answers."""
    servers = target.connection["bootstrap.servers"]
    try:
        # The finding says why no broker answered, so librdkafka need not log it.
        partitions = Admin({"log_level": "0", **target.connection}).partitions(_REACH_S)
    except HommaError as error:
        yield _unreachable(target, servers, error)
        return
    yield Finding("Kafka", "ok", f"{servers} answers and has {len(partitions)} topics")
    try:
        yield from topics(target, partitions)
        if target.topics.topic in partitions:
            yield from offsets(target, partitions[target.topics.topic])
            yield from clock(target, partitions[target.topics.topic])
    except HommaError as error:
        yield Finding("Kafka", "failure", error.problem, error.remedy)


def _unreachable(target: CheckedCluster, servers: str, error: HommaError) -> Finding:
    if target.own_port is not None:
        own = f"127.0.0.1:{target.own_port}"
        if servers != own:
            remedy = f"`homma up` runs a broker at {own}: use --bootstrap.servers {own}"
            return Finding("Kafka", "failure", error.problem, remedy)
    elif servers.startswith(("127.0.0.1:", "localhost:")):
        # A machine on which nothing has been started yet has no fault.
        return Finding("Kafka", "warning", f"no broker at {servers}", "start one with `homma up`")
    return Finding("Kafka", "failure", error.problem, error.remedy)


def topics(target: CheckedCluster, partitions: Mapping[str, int]) -> Iterator[Finding]:
    """Check that the topics match the contract; a single finding if all do."""
    ticks = target.topics.topic
    specs = contract.specs(target.topics, partitions.get(ticks, target.topics.partitions))
    present = [spec for spec in specs if spec.name in partitions]
    missing = [spec.name for spec in specs if spec.name not in partitions]
    differing = [
        finding for spec in present for finding in _partitions(spec, partitions[spec.name])
    ]
    configs = Admin(target.connection).configs([spec.name for spec in present])
    differing += [
        finding for spec in present for finding in _config(spec, configs[spec.name], ticks)
    ]
    if missing:
        yield Finding(
            "topics",
            "warning",
            f"missing: {', '.join(missing)}",
            "`homma up`, `homma generate` and `homma aggregate` create them; "
            "docs/reference/topics.md says how to create them yourself",
        )
    yield from differing
    if present and not differing:
        yield Finding(
            "topics", "ok", f"{len(present)} of {len(specs)} exist and match the contract"
        )


def _partitions(spec: TopicSpec, count: int) -> Iterator[Finding]:
    if count != spec.partitions:
        yield Finding(
            f"topic {spec.name}",
            "failure",
            f"{count} partitions, but the tick topic has {spec.partitions}",
            "delete the topic, or use another name with --candle-topic, --dead-topic or "
            "--late-topic",
        )


def _config(spec: TopicSpec, config: Mapping[str, str], ticks: str) -> Iterator[Finding]:
    for name, hint in _COMPARED.items():
        expected, actual = spec.config.get(name), config.get(name)
        if expected is None or _parts(expected) == _parts(actual or ""):
            continue
        # Compaction would keep one tick of each series and delete the others.
        loses_ticks = (
            spec.name == ticks and name == "cleanup.policy" and "compact" in (actual or "")
        )
        remedy = (
            f"kafka-configs --alter --topic {spec.name} --add-config {name}=[{expected}]"
            f"{', ' if hint else ''}{hint}"
        )
        yield Finding(
            f"topic {spec.name}",
            "failure" if loses_ticks else "warning",
            f"{name} is {actual}, not {expected}",
            remedy,
        )


def _parts(text: str) -> set[str]:
    return set(text.split(","))


def offsets(target: CheckedCluster, partitions: int) -> Iterator[Finding]:
    """Check that homma committed the offsets, and that the ticks to read next still exist."""
    ticks = target.topics.topic
    topic_id = Admin(target.connection).topic_id(ticks)
    reader = Reader(target.connection)
    group = GroupOffsets(target.connection, target.group, ticks)
    try:
        lag, has_problems, committed_count = 0, False, 0
        for partition in range(partitions):
            committed, available = group.committed(partition), reader.offset_range(ticks, partition)
            if committed is None:
                continue
            committed_count += 1
            lag += max(0, available.end - committed.offset)
            name = f"{ticks} partition {partition}"
            for finding in _offset(name, committed, available, topic_id):
                has_problems = True
                yield finding
    finally:
        group.close()
        reader.close()
    if not committed_count:
        yield Finding("offsets", "ok", f"group {target.group} has not read {ticks} yet")
    elif not has_problems:
        read = f"{committed_count} of {partitions} partitions"
        yield Finding("offsets", "ok", f"group {target.group}: {read}, {lag:,} offsets behind")


def _offset(
    name: str, committed: Committed, available: Range, topic_id: str | None
) -> Iterator[Finding]:
    rebuild, offset = "start `homma aggregate --rebuild`", committed.offset
    if offset < available.start:
        yield Finding(
            "offsets",
            "failure",
            f"retention deleted {available.start - offset} offsets of {name} before they were read",
            f"raise --tick-retention, and {rebuild}",
        )
    try:
        origin = read_offset_metadata(committed.metadata, name)
    except StateError as error:
        yield Finding("offsets", "failure", error.problem, error.remedy)
        return
    state = topic_state(origin.topicId, topic_id)
    if state is not TopicState.SAME or ends_before(available.end, offset):
        detail = f"the committed offset of {name} belongs to an earlier topic of the same name"
        yield Finding("offsets", "failure", detail, f"{rebuild}, or use another --group")


def clock(target: CheckedCluster, partitions: int) -> Iterator[Finding]:
    """Check that the clock of the broker, which dates the records, is not ahead of this machine."""
    ticks, ahead_ms = target.topics.topic, target.now_ms() + _AHEAD_MS
    reader = Reader(target.connection)
    try:
        ahead = any(
            reader.offset_for_time(ticks, partition, ahead_ms) is not None
            for partition in range(partitions)
        )
    finally:
        reader.close()
    if ahead:
        detail = f"{ticks} has records dated more than {_AHEAD_MS / 1000:g} s ahead of this machine"
        yield Finding("clock", "warning", detail, "synchronize the clocks of all machines by NTP")
    else:
        yield Finding("clock", "ok", "no record is dated ahead of this machine's clock")
