"""The pipeline on this machine: its programs, in the order in which they start."""

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from homma.durations import duration_text
from homma.errors import HommaError, KafkaError, SettingError
from homma.rendered import prometheus
from homma.settings import GenerateSettings, TopicSettings, UpSettings
from homma.stack import archive, folder, jars, kafka, periodic, seaweed, trino
from homma.stack.backoff import Backoff
from homma.stack.credentials import ACCESS_KEY, SECRET_KEY, ensure_credentials
from homma.stack.folder import Folder
from homma.stack.kafka import Broker
from homma.stack.ports import must_be_free
from homma.stack.process import Process, Program, Status
from homma.stack.seaweed import Seaweed
from homma.stack.seaweed_settings import BUCKET, REGION, Ports
from homma.topics import contract
from homma.topics.kafka.admin import Admin

HOST: Final = "127.0.0.1"
#: The engine commits once more before it ends, and may have to wait for the broker.
_STAGE_STOP_S: Final = 20.0
_LOGIN: Final = (ACCESS_KEY, SECRET_KEY)
#: SeaweedFS's log of changes grows by half a gigabyte in that time, with all tables at work.
_PURGE_EVERY_S: Final = 3600.0
TRINO: Final = "trino"
#: Told (what, bytes, of bytes) while something is downloaded.
OnFetch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class StageProgram:
    """One of homma's own programs, and where its metrics are; `flags` include where they are."""

    name: str
    metrics_port: int
    port_flag: str
    flags: tuple[str, ...]
    #: Whether people come to that port.
    for_people: bool = False

    @property
    def ports(self) -> dict[str, int]:
        """What it listens on."""
        return {"metrics": self.metrics_port} | (
            {"page": self.metrics_port} if self.for_people else {}
        )


@dataclass(frozen=True, slots=True)
class Local:
    """What runs, and how to ask it; `lake` is None where it was not wanted."""

    bootstrap: str
    lake: Seaweed | None
    processes: tuple[Process, ...]
    ports: dict[str, dict[str, int]]


def stages(up: UpSettings, topics: TopicSettings, ticks: GenerateSettings) -> list[StageProgram]:
    """Homma's own programs, consumers first, so that no tick has to wait for them."""
    named, wanted = flags(topics), lake(up)
    found = [_measured("aggregate", up.aggregate_metrics_port, *named)]
    if wanted is not None:
        flush = ("--commit-every", duration_text(up.commit_every))
        where = _of_lake(up, wanted)
        found.append(_measured("land", up.land_metrics_port, *named, *where, *flush))
    if not up.no_serve:
        where = ("--without-lake",) if wanted is None else _of_lake(up, wanted)
        port = ("--serve-port", str(up.serve_port))
        found.append(
            StageProgram("serve", up.serve_port, "--serve-port", (*port, *named, *where), True)
        )
    if not up.no_generate:
        found.append(_measured("generate", up.generate_metrics_port, *named, *flags(ticks)))
    return found


def _measured(name: str, port: int, *more: str) -> StageProgram:
    metrics = ("--metrics-port", str(port), "--metrics-host", HOST)
    return StageProgram(name, port, f"--{name}-metrics-port", (*metrics, *more))


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


def lake(up: UpSettings) -> Seaweed | None:
    """Where SeaweedFS is to be, if it is wanted."""
    ports = Ports(up.s3_port, up.catalog_port, up.seaweed_port)
    return None if up.no_lake else Seaweed(up.dir, ports)


def _of_lake(up: UpSettings, wanted: Seaweed) -> tuple[str, ...]:
    """Where a stage finds the lake, and its login."""
    return (
        "--catalog-uri",
        f"http://{HOST}:{wanted.ports.catalog}",
        "--s3-endpoint",
        f"http://{HOST}:{wanted.ports.s3}",
        "--dir",
        str(up.dir),
    )


@contextmanager
def running(
    up: UpSettings,
    topics: TopicSettings,
    ticks: GenerateSettings,
    extras: Collection[str],
    config: Path | None,
    on_fetch: OnFetch,
    say: Callable[[str], None],
) -> Iterator[Local]:
    """Have the pipeline for the length of a with block; stops it in reverse order.

    `extras` are servers that are started only when they are asked for: TRINO. `say` is told what
    goes on. Raises StackError and its kin; nothing is left running then.
    """
    if TRINO in extras and up.no_lake:
        raise SettingError("Trino reads the lake, and there is to be none", "leave --no-lake out")
    with ExitStack() as cleanup:
        home = cleanup.enter_context(folder.claim(up.dir))
        for left in home.leftovers.ended:
            say(f"ended {left.name}, left behind by an earlier run")
        # All of them, before what takes its time is started for nothing.
        for port, flag in _ports(up, topics, ticks, extras).items():
            must_be_free(port, flag)
        started = _Started(home, cleanup, say)
        class_path = jars.fetch(
            jars.read_lock("kafka"), _cache(up) / "jars", partial(on_fetch, "Kafka"), up.maven
        )
        trino_server = _fetched_trino(up, on_fetch) if TRINO in extras else None
        bootstrap = _kafka(up, started, class_path)
        admin = Admin({"bootstrap.servers": bootstrap})
        found = admin.partitions().get(topics.topic, topics.partitions)
        admin.ensure(contract.specs(topics, found), topics.replication_factor)
        wanted = lake(up)
        if wanted is not None:
            _seaweed(wanted, started)
        wanted_stages = stages(up, topics, ticks)
        _tell_prometheus(up.dir, wanted_stages)
        for stage in wanted_stages:
            say(f"starting {stage.name}")
            process = Process(
                _program(up.dir, stage, bootstrap, config),
                started.noted(stage.name, stage.ports),
            )
            started.add(process)
            process.start()
        if wanted is not None and trino_server is not None:
            _trino(up, wanted, bootstrap, trino_server, started)
        yield Local(bootstrap, wanted, tuple(started.processes), started.ports)


class _Started:
    """What has been started so far, to be stopped in reverse order and recorded meanwhile."""

    def __init__(self, home: Folder, cleanup: ExitStack, say: Callable[[str], None]) -> None:
        self.home = home
        self.cleanup = cleanup
        self.say = say
        self.processes: list[Process] = []
        self.ports: dict[str, dict[str, int]] = {}

    def noted(self, name: str, ports: dict[str, int]) -> Callable[[Status], None]:
        """Give what records how that process stands."""
        self.ports[name] = ports
        return lambda status: self.home.note(status, ports)

    def add(self, process: Process) -> None:
        """Have it stopped before those that were added earlier."""
        self.cleanup.callback(process.stop)
        self.processes.append(process)


def _ports(
    up: UpSettings, topics: TopicSettings, ticks: GenerateSettings, extras: Collection[str]
) -> dict[int, str]:
    """Every port that will be needed, and the flag that moves it."""
    wanted = lake(up)
    return {
        up.kafka_port: "--kafka-port",
        up.kafka_controller_port: "--kafka-controller-port",
        **(wanted.flags if wanted else {}),
        **({up.trino_port: "--trino-port"} if TRINO in extras else {}),
        **{stage.metrics_port: stage.port_flag for stage in stages(up, topics, ticks)},
    }


def _cache(up: UpSettings) -> Path:
    return up.cache.expanduser()


def _kafka(up: UpSettings, started: _Started, class_path: list[Path]) -> str:
    """Start Kafka; give its address."""
    started.say("starting Kafka")
    broker = Broker(up.dir / "kafka", up.kafka_port, up.kafka_controller_port, class_path)
    bootstrap = f"{HOST}:{up.kafka_port}"
    ports = {"broker": up.kafka_port, "controller": up.kafka_controller_port}
    started.add(kafka.start(broker, lambda: answers(bootstrap), started.noted("kafka", ports)))
    return bootstrap


def _seaweed(wanted: Seaweed, started: _Started) -> None:
    """Start SeaweedFS, and clear up after it from time to time."""
    started.say("starting SeaweedFS")
    started.add(seaweed.start(wanted, started.noted("seaweed", wanted.ports.all())))

    def told(error: HommaError) -> None:
        started.say(str(error))

    def purge(over: threading.Event) -> None:
        seaweed.purge_log(wanted, over)

    started.cleanup.enter_context(periodic.every(_PURGE_EVERY_S, purge, told))


def _fetched_trino(up: UpSettings, on_fetch: OnFetch) -> Path:
    locked = archive.read_archive(TRINO)
    return archive.unpacked(locked, _cache(up), partial(on_fetch, "Trino"), up.maven)


def _trino(
    up: UpSettings, wanted: Seaweed, bootstrap: str, server: Path, started: _Started
) -> None:
    """Start Trino over that lake and those topics."""
    started.say("starting Trino, which takes a while")
    login = ensure_credentials(up.dir)
    told = trino.lake_environment(
        {
            "uri": wanted.catalog,
            "warehouse": f"s3://{BUCKET}",
            "s3.endpoint": wanted.s3,
            "s3.region": REGION,
            "s3.access-key-id": login.access_key,
            "s3.secret-access-key": login.secret_key,
        }
    )
    told |= {"HOMMA_BOOTSTRAP_SERVERS": bootstrap}
    node = trino.Node(up.dir / TRINO, up.trino_port, server, trino.settings_folder(), told)
    started.add(trino.start(node, started.noted(TRINO, {"http": up.trino_port})))
    trino.make_views(node)


def _program(home: Path, stage: StageProgram, bootstrap: str, config: Path | None) -> Program:
    chosen = ["--config", str(config)] if config else []
    return Program(
        name=stage.name,
        argv=[
            sys.executable,
            "-m",
            "homma",
            *chosen,
            stage.name,
            "--bootstrap.servers",
            bootstrap,
            *stage.flags,
        ],
        log=home / f"{stage.name}.log",
        # The login of the lake that is started here, not that of another.
        env={name: value for name, value in os.environ.items() if name not in _LOGIN},
        ready=lambda: measured(stage.metrics_port) is not None,
        stop_within_s=_STAGE_STOP_S,
        restart=Backoff,
    )


def _tell_prometheus(home: Path, stages: list[StageProgram]) -> None:
    """Write where the metrics are: deploy/prometheus/prometheus.yml looks there."""
    places = {stage.name: f"{HOST}:{stage.metrics_port}" for stage in stages}
    (home / "targets.json").write_text(prometheus.targets(places), encoding="utf-8")


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
