"""The pipeline on this machine: its programs, in the order in which they start."""

import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from homma.errors import KafkaError
from homma.settings import GenerateSettings, TopicSettings, UpSettings, duration_text
from homma.stack import folder, jars, kafka
from homma.stack.backoff import Backoff
from homma.stack.kafka import Broker
from homma.stack.ports import must_be_free
from homma.stack.process import Process, Program, Status
from homma.topics import contract
from homma.topics.kafka.admin import Admin

HOST: Final = "127.0.0.1"
#: The engine commits once more before it ends, and may have to wait for the broker.
_STAGE_STOP_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One of homma's own programs, and where its metrics are."""

    name: str
    metrics_port: int
    port_flag: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """What runs, and how to ask it."""

    bootstrap: str
    processes: tuple[Process, ...]
    ports: dict[str, dict[str, int]]


def stages(up: UpSettings, topics: TopicSettings, ticks: GenerateSettings) -> list[Stage]:
    """Homma's own programs, consumers first, so that no tick has to wait for them."""
    named = flags(topics)
    found = [Stage("aggregate", up.aggregate_metrics_port, "--aggregate-metrics-port", named)]
    if not up.no_generate:
        port, flag = up.generate_metrics_port, "--generate-metrics-port"
        found.append(Stage("generate", port, flag, (*named, *flags(ticks))))
    return found


def flags(settings: Any) -> tuple[str, ...]:
    """Settings as flags, those with their default left out."""
    given: list[str] = []
    for row in fields(settings):
        value = getattr(settings, row.name)
        if value != row.default:
            given.append("--" + row.name.replace("_", "-"))
            if not isinstance(value, bool):
                given.append(duration_text(value) if isinstance(value, timedelta) else str(value))
    return tuple(given)


@contextmanager
def running(
    up: UpSettings,
    topics: TopicSettings,
    ticks: GenerateSettings,
    config: Path | None,
    on_fetch: Callable[[int, int], None],
    say: Callable[[str], None],
) -> Iterator[Local]:
    """Have the pipeline for the length of a with block; stops it in reverse order.

    `on_fetch` is told (bytes, of bytes) while jars are downloaded; `say` what goes on. Raises
    StackError and its kin; nothing is left running then.
    """
    with ExitStack() as cleanup:
        home = cleanup.enter_context(folder.claim(up.dir))
        for left in home.leftovers.ended:
            say(f"ended {left.name}, left behind by an earlier run")
        for stage in stages(up, topics, ticks):
            must_be_free(stage.metrics_port, stage.port_flag)
        cache = up.cache.expanduser() / "jars"
        class_path = jars.fetch(jars.read_lock("kafka"), cache, on_fetch, up.maven)
        say("starting Kafka")
        broker = Broker(up.dir / "kafka", up.kafka_port, up.kafka_controller_port, class_path)
        bootstrap = f"{HOST}:{up.kafka_port}"
        ports = {"kafka": {"broker": up.kafka_port, "controller": up.kafka_controller_port}}

        def note(status: Status) -> None:
            home.note(status, ports[status.name])

        server = kafka.start(broker, lambda: answers(bootstrap), note)
        cleanup.callback(server.stop)
        admin = Admin({"bootstrap.servers": bootstrap})
        found = admin.partitions().get(topics.topic, topics.partitions)
        admin.ensure(contract.specs(topics, found), topics.replication_factor)
        processes = [server]
        for stage in stages(up, topics, ticks):
            say(f"starting {stage.name}")
            ports[stage.name] = {"metrics": stage.metrics_port}
            process = Process(_program(up.dir, stage, bootstrap, config), note)
            cleanup.callback(process.stop)
            process.start()
            processes.append(process)
        yield Local(bootstrap, tuple(processes), ports)


def _program(home: Path, stage: Stage, bootstrap: str, config: Path | None) -> Program:
    chosen = ["--config", str(config)] if config else []
    metrics = ["--metrics-port", str(stage.metrics_port), "--metrics-host", HOST]
    return Program(
        name=stage.name,
        argv=[sys.executable, "-m", "homma", *chosen, stage.name, "--bootstrap.servers", bootstrap,
              *metrics, *stage.flags],
        log=home / f"{stage.name}.log",
        ready=lambda: measured(stage.metrics_port) is not None,
        stop_within_s=_STAGE_STOP_S,
        restart=Backoff,
    )  # fmt: skip


def answers(bootstrap: str) -> bool:
    """Whether a broker answers a metadata request."""
    try:
        Admin({"bootstrap.servers": bootstrap, "log_level": "0"}).partitions(2)
    except KafkaError:
        return False
    return True


def measured(port: int) -> dict[str, float] | None:
    """The metrics of a stage by name, summed over their labels; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=1) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
