"""What the embedded broker is told: server.properties and log4j2.properties, rendered purely."""

from pathlib import Path
from typing import Final

from homma.stack.ports import LOOPBACK

NODE: Final = 1
INTERNAL_PARTITIONS: Final = 4
# No ahead-of-time cache: it would save half a second of two, and costs six at the first stop.
# All compilers: the quick one alone starts sooner as well, and serves ticks more slowly.
JVM: Final = (
    "-Xmx512m",
    # One collector thread: the cores belong to the stages.
    "-XX:+UseSerialGC",
    # The supervisor starts a fresh broker; one that is out of memory would only limp.
    "-XX:+ExitOnOutOfMemoryError",
    # No files in /tmp for monitoring tools, which a kill would leave behind.
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    # Two things that Kafka does, and that newer Java versions warn of on every start.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """Give the settings of a broker and controller in one, on the loopback address alone.

    `data` is the folder of its logs; both ports may change between two starts on the same data.
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
        # Voters from this file, not from the data, so that the controller's port can move.
        "controller.quorum.voters": f"{NODE}@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        # After a kill the controller takes the dead broker for alive for this long, and refuses
        # the new one; the default is 9 s. Heartbeats never leave the process, so that even a
        # busy machine brings them in time.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # A mistyped topic name is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # The default writes an empty record to the disk twice a second, for nobody.
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
        # Waiting for more members makes sense with many machines.
        "group.initial.rebalance.delay.ms": 0,
        # A committed offset must not vanish while homma is switched off: candles without one
        # are refused. Ten years, in minutes; the default is a week.
        "offsets.retention.minutes": 5_256_000,
        # How often to look for transactions past their time-out (homma's is 10 s): a dead
        # writer holds committed readers up for the time-out and this. The default is 10 s.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    }


def _logs() -> dict[str, object]:
    return {
        # Candle topics are updated every second and made of small segments: look for work each
        # second instead of every 15, or a restore reads twenty times what it needs.
        "log.cleaner.backoff.ms": 1000,
        "log.cleaner.threads": 1,
        # The default, 128 MB, is a quarter of the heap; this holds 1.2 million keys a pass.
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
    """Give the logging settings: `log` and three older ones of 10 MB each, nothing on stdout."""
    rows = {
        "status": "error",
        # Otherwise logging ends at SIGTERM, before the broker tells how its shutdown went.
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
        # Four hundred lines of settings at each start, and one for each segment.
        "logger.config.name": "org.apache.kafka.common.config",
        "logger.config.level": "warn",
    }
    return _properties(rows)


def _properties(rows: dict[str, object]) -> str:
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in rows.items())


def _escaped(value: str) -> str:
    """Write a value as java.util.Properties reads it: Latin-1, where a backslash escapes."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
