"""Settings of the embedded broker: server.properties and log4j2.properties. Pure."""

from pathlib import Path
from typing import Final

from homma.stack.processes.ports import LOOPBACK

NODE: Final = 1
INTERNAL_PARTITIONS: Final = 4
# No ahead-of-time cache: it saves 0.5 s of a 2 s start, but the first stop takes 6 s longer.
# All compilers: with the C1 compiler alone the broker starts faster but handles ticks more slowly.
JVM: Final = (
    "-Xmx512m",
    # One collector thread leaves the cores to the stages.
    "-XX:+UseSerialGC",
    # A broker out of memory works badly; the supervisor restarts one that exits.
    "-XX:+ExitOnOutOfMemoryError",
    # No monitoring files in /tmp, which a kill would leave behind.
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    # Without these, newer Java versions print warnings about Kafka at every start.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """Settings of a combined broker and controller that listens on the loopback address only.

    `data` is the folder of its logs; both ports may change between starts on the same data.
    """
    rows = {
        **_one_node(data, port, controller_port),
        **_one_replica(),
        **_offsets_and_transactions(),
        **_logs(),
        **_threads(),
    }
    return _properties(rows)


def _one_node(data: Path, port: int, controller_port: int) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": NODE,
        # Voters come from this file, not from the data, so that the controller's port can change.
        "controller.quorum.voters": f"{NODE}@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        # After a kill the controller considers the dead broker alive for this long and refuses
        # the new one; the default is 9 s. Heartbeats stay within the process, so they arrive in
        # time even on a busy machine.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # A mistyped topic name is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # The default writes an unneeded empty record to the disk twice per second.
        "metadata.max.idle.interval.ms": 5000,
    }


def _one_replica() -> dict[str, object]:
    return {
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": INTERNAL_PARTITIONS,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": INTERNAL_PARTITIONS,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
    }


def _offsets_and_transactions() -> dict[str, object]:
    return {
        # Waiting for more members is useful only with many machines.
        "group.initial.rebalance.delay.ms": 0,
        # A committed offset must not expire while homma is stopped: homma refuses candles
        # without an offset. Ten years, in minutes; the default is a week.
        "offsets.retention.minutes": 5_256_000,
        # How often to check for transactions past their timeout (homma's is 10 s): a dead writer
        # blocks readers of committed records for the timeout plus this. The default is 10 s.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    }


def _logs() -> dict[str, object]:
    return {
        # Candle topics are updated every second and have small segments: clean them every second
        # instead of every 15, or a restore reads twenty times more than it needs.
        "log.cleaner.backoff.ms": 1000,
        "log.cleaner.threads": 1,
        # The default, 128 MB, is a quarter of the heap; this holds 1.2 million keys per pass.
        "log.cleaner.dedupe.buffer.size": 33_554_432,
        "log.retention.check.interval.ms": 60_000,
        # After a kill every segment written since the last checkpoint is read again.
        "log.flush.offset.checkpoint.interval.ms": 10_000,
        "num.recovery.threads.per.data.dir": 2,
    }


def _threads() -> dict[str, object]:
    return {
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        "group.coordinator.threads": 2,
    }


def log4j2_properties(log: Path) -> str:
    """Logging settings: `log` and three older files of 10 MB each, nothing on stdout."""
    rows = {
        "status": "error",
        # Otherwise logging ends at SIGTERM, before the broker has logged its shutdown.
        "shutdownHook": "disable",
        "appender.file.type": "RollingFile",
        "appender.file.name": "file",
        "appender.file.fileName": log,
        "appender.file.filePattern": f"{log}.%i",
        "appender.file.layout.type": "PatternLayout",
        "appender.file.layout.pattern": "%d{yyyy-MM-dd'T'HH:mm:ss.SSSX}{UTC} %p %m (%c)%n",
        "appender.file.policies.type": "Policies",
        "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
        "appender.file.policies.size.size": "10MB",
        "appender.file.strategy.type": "DefaultRolloverStrategy",
        "appender.file.strategy.max": 3,
        "rootLogger.level": "info",
        "rootLogger.appenderRef.file.ref": "file",
        # Logs four hundred lines of settings at each start, and a line for each segment.
        "logger.config.name": "org.apache.kafka.common.config",
        "logger.config.level": "warn",
    }
    return _properties(rows)


def _properties(rows: dict[str, object]) -> str:
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in rows.items())


def _escaped(value: str) -> str:
    """Escape a value for java.util.Properties: Latin-1 with backslash escapes."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
