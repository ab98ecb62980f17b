"""The pipeline on this machine: its programs, in the order in which they start."""

import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from homma.cli import committed_prices, first_history, trino_node
from homma.cli.discovery import recorded
from homma.cli.scraping import scrape
from homma.cli.stage_programs import (
    HOST,
    StageProgram,
    as_flags,
    lake_flags,
    lake_server,
    stages,
)
from homma.durations import format_duration
from homma.errors import HommaError, KafkaError, SettingError
from homma.rendered import prometheus
from homma.settings import (
    AggregateSettings,
    GenerateSettings,
    PriceSettings,
    TopicSettings,
    UpSettings,
)
from homma.stack.downloads import jars
from homma.stack.processes import folder, periodic
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.folder import Folder
from homma.stack.processes.ports import must_be_free
from homma.stack.processes.process import Process, Program, Status
from homma.stack.processes.record import read_record
from homma.stack.servers import kafka, seaweed, trino
from homma.stack.servers.credentials import ACCESS_KEY, SECRET_KEY
from homma.stack.servers.kafka import Broker
from homma.stack.servers.seaweed import Seaweed
from homma.topics import contract
from homma.topics.kafka.admin import Admin

#: The engine commits once more before it exits, and may have to wait for the broker.
_STAGE_STOP_S: Final = 20.0
_LOGIN: Final = (ACCESS_KEY, SECRET_KEY)
#: In this time SeaweedFS's change log grows by half a gigabyte if all tables are written to.
_PURGE_EVERY_S: Final = 3600.0
TRINO: Final = "trino"
#: Called with (name, bytes so far, total bytes) during a download.
OnFetch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RunningPipeline:
    """The running processes and their addresses; `lake` is None with --no-lake."""

    bootstrap: str
    lake: Seaweed | None
    processes: tuple[Process, ...]
    ports: dict[str, dict[str, int]]


@contextmanager
def running(
    up: UpSettings,
    topics: TopicSettings,
    ticks: GenerateSettings,
    engine: AggregateSettings,
    extras: Collection[str],
    foreign_topics: Collection[str],
    config: Path | None,
    on_fetch: OnFetch,
    say: Callable[[str], None],
) -> Iterator[RunningPipeline]:
    """Run the pipeline for the duration of a with block, and stop it in reverse order.

    `engine` has the engine's settings, for other commands. `extras` are optional servers: TRINO.
    `foreign_topics` are those to ingest, which are created if there are none.
    `say` is called with a line for each step. Raises HommaError, after stopping everything.
    """
    if TRINO in extras and up.no_lake:
        raise SettingError("Trino needs the lake", "omit --no-lake")
    with ExitStack() as cleanup:
        home = cleanup.enter_context(folder.claim(up.dir))
        for orphan in home.leftovers.ended:
            say(f"stopped {orphan.name}, left over from an earlier run")
        server = lake_server(up)
        lake = {"catalog_uri": server.catalog, "s3_endpoint": server.s3} if server else {}
        settings = recorded(f"{HOST}:{up.kafka_port}", lake, topics, engine, ticks, up)
        are_other = committed_prices.differ(read_record(up.dir).settings, engine)
        # The next start continues what is recorded, so prices that are refused are not.
        if not are_other:
            home.record_settings(settings)
        prices = PriceSettings(price=engine.price, prices=engine.prices)
        programs = stages(up, topics, ticks, prices)
        # Check all ports first: downloads and servers take time.
        for port, flag in _ports(up, programs, extras).items():
            must_be_free(port, flag)
        started = _Started(home, cleanup, say)
        class_path = jars.fetch(
            jars.read_lock("kafka"),
            up.cache.expanduser() / "jars",
            partial(on_fetch, "Kafka"),
            up.maven,
        )
        trino_server = trino_node.fetch(up, partial(on_fetch, "Trino")) if TRINO in extras else None
        own = _OwnPrograms(programs, f"{HOST}:{up.kafka_port}", config, started)

        def accept(partitions: int) -> None:
            _create_foreign(own.bootstrap, foreign_topics, partitions)
            if are_other:
                connection = {"bootstrap.servers": own.bootstrap}
                committed_prices.require_same(connection, topics.topic, partitions, engine)
                home.record_settings(settings)

        _start_servers(up, topics, ticks, own, as_flags(prices), class_path, started, accept)
        own.start(*own.programs)
        if server is not None and trino_server is not None:
            node = trino_node.of(
                up, topics.intervals, prices.prices, server, own.bootstrap, trino_server
            )
            _trino(node, started)
        yield RunningPipeline(own.bootstrap, server, tuple(started.processes), started.ports)


class _Started:
    """The processes started so far, to be recorded, and stopped in reverse order."""

    def __init__(self, home: Folder, cleanup: ExitStack, say: Callable[[str], None]) -> None:
        self.home = home
        self.cleanup = cleanup
        self.say = say
        self.processes: list[Process] = []
        self.ports: dict[str, dict[str, int]] = {}

    def recorder(self, name: str, ports: dict[str, int]) -> Callable[[Status], None]:
        """Return a function that records the status of a process in the data folder."""
        self.ports[name] = ports
        return lambda status: self.home.record_status(status, ports)

    def add(self, process: Process) -> None:
        """Stop this process before the ones that were added earlier."""
        self.cleanup.callback(process.stop)
        self.processes.append(process)


class _OwnPrograms:
    """Homma's own programs, in the order in which they start if nothing else is said."""

    def __init__(
        self, programs: list[StageProgram], bootstrap: str, config: Path | None, started: _Started
    ) -> None:
        self.programs = {program.name: program for program in programs}
        self.bootstrap = bootstrap
        self.config = config
        self._started = started
        self._running: set[str] = set()

    def start(self, *names: str) -> None:
        """Start those of the programs that are wanted and do not run yet, and wait for all."""
        for process in [*self.launch(*names)]:
            process.wait_until_ready()

    def launch(self, *names: str) -> Iterator[Process]:
        """Start the programs, without waiting until they are ready."""
        started = self._started
        for name in names:
            if name not in self.programs or name in self._running:
                continue
            program = self.programs[name]
            started.say(f"starting {name}")
            process = Process(
                _program(started.home.path, program, self.bootstrap, self.config),
                started.recorder(name, program.ports),
            )
            started.add(process)
            self._running.add(name)
            process.launch()
            yield process


def _start_servers(
    up: UpSettings,
    topics: TopicSettings,
    ticks: GenerateSettings,
    own: _OwnPrograms,
    price_flags: tuple[str, ...],
    class_path: list[Path],
    started: _Started,
    accept: Callable[[int], None],
) -> None:
    """Start the servers, and load the history if it is due.

    `accept` is called with the number of partitions, before the first of homma's own programs.
    """
    server, bootstrap = lake_server(up), own.bootstrap
    with ExitStack() as preparing:
        load = None
        # SeaweedFS and the load of the history get ready while Kafka starts.
        storage = None if server is None else _launch_seaweed(server, started)
        if server is not None and first_history.is_due(up):
            flags = (
                *_kafka_flags(bootstrap),
                *as_flags(topics),
                *lake_flags(up, server),
                *price_flags,
            )
            load = preparing.enter_context(
                first_history.loading(started.home, flags, _environment(), own.config)
            )
        _start_kafka(up, started, class_path, bootstrap)
        admin = Admin({"bootstrap.servers": bootstrap})
        partitions = admin.partitions().get(topics.topic, topics.partitions)
        admin.ensure(contract.specs(topics, partitions), topics.replication_factor)
        accept(partitions)
        _write_prometheus_targets(up.dir, own.programs.values())
        if server is not None and storage is not None:
            _wait_for_seaweed(server, storage, started)
        if load is not None:
            _load_history(up, ticks, load, own, started)


def _ports(
    up: UpSettings, programs: Iterable[StageProgram], extras: Collection[str]
) -> dict[int, str]:
    """Return every port that will be used, with its flag."""
    server = lake_server(up)
    return {
        up.kafka_port: "--kafka-port",
        up.kafka_controller_port: "--kafka-controller-port",
        **(server.flags if server else {}),
        **({up.trino_port: "--trino-port"} if TRINO in extras else {}),
        **{stage.metrics_port: stage.port_flag for stage in programs},
    }


def _start_kafka(up: UpSettings, started: _Started, class_path: list[Path], bootstrap: str) -> None:
    """Start Kafka, and wait until it is ready."""
    started.say("starting Kafka")
    broker = Broker(up.dir / "kafka", up.kafka_port, up.kafka_controller_port, class_path)
    ports = {"broker": up.kafka_port, "controller": up.kafka_controller_port}
    process = kafka.launch(
        broker, lambda: is_reachable(bootstrap), started.recorder("kafka", ports)
    )
    started.add(process)
    process.wait_until_ready()


def _create_foreign(bootstrap: str, topics: Collection[str], partitions: int) -> None:
    """Create the topics to ingest: this broker makes none for a producer that names a new one."""
    admin = Admin({"bootstrap.servers": bootstrap})
    missing = [name for name in topics if name not in admin.partitions()]
    admin.ensure([contract.TopicSpec(name, partitions, {}) for name in missing], -1)


def _launch_seaweed(server: Seaweed, started: _Started) -> Process:
    """Start SeaweedFS, without waiting until it is ready."""
    started.say("starting SeaweedFS")
    process = seaweed.launch(server, started.recorder("seaweed", server.ports.all()))
    started.add(process)
    return process


def _wait_for_seaweed(server: Seaweed, process: Process, started: _Started) -> None:
    """Wait until SeaweedFS is ready, and purge its change log from time to time."""
    process.wait_until_ready()

    def report(error: HommaError) -> None:
        started.say(str(error))

    def purge(stop: threading.Event) -> None:
        seaweed.purge_log(server, stop)

    started.cleanup.enter_context(periodic.every(_PURGE_EVERY_S, purge, report))


def _load_history(
    up: UpSettings,
    ticks: GenerateSettings,
    load: first_history.Loading,
    own: _OwnPrograms,
    started: _Started,
) -> None:
    """Load history, which ends where the live ticks begin.

    The engine must start later, as it continues the candles of the history. The page is there
    already, and the live ticks wait in Kafka. The ticks of the history get into the lake last, so
    the verifier starts after that.
    """
    now_us = time.time_ns() // 1000
    launched = [*own.launch("generate", "serve")]
    first_history.write_ticks(up, ticks, now_us)
    started.say(f"loading {format_duration(up.history)} of history")
    load.begin()
    for process in launched:
        process.wait_until_ready()
    load.wait_for_candles()
    own.start("aggregate", "land")
    started.say(load.wait())


def _trino(node: trino.Node, started: _Started) -> None:
    """Start Trino on the lake and the topics."""
    started.say("starting Trino, which takes about half a minute")
    started.add(trino.start(node, started.recorder(TRINO, {"http": node.port})))
    trino.create_views(node)
    trino.create_lake_views(node)


def _program(home: Path, stage: StageProgram, bootstrap: str, config: Path | None) -> Program:
    config_flag = ["--config", str(config)] if config else []
    return Program(
        name=stage.name,
        argv=[
            *(["nice", "-n", str(stage.niceness)] if stage.niceness else []),
            sys.executable,
            "-m",
            "homma",
            *config_flag,
            stage.name,
            *_kafka_flags(bootstrap),
            *stage.flags,
        ],
        log=home / f"{stage.name}.log",
        env=_environment(),
        ready=lambda: scrape(stage.metrics_port) is not None,
        stop_within_s=_STAGE_STOP_S,
        restart=Backoff,
    )


def _kafka_flags(bootstrap: str) -> tuple[str, str]:
    return ("--bootstrap.servers", bootstrap)


def _environment() -> dict[str, str]:
    """Return the environment of homma's programs, which read this lake's login from the folder."""
    return {name: value for name, value in os.environ.items() if name not in _LOGIN}


def _write_prometheus_targets(home: Path, stages: Iterable[StageProgram]) -> None:
    """Write the addresses of the metrics, which deploy/prometheus/prometheus.yml reads."""
    addresses = {stage.name: f"{HOST}:{stage.metrics_port}" for stage in stages}
    (home / "targets.json").write_text(prometheus.targets(addresses), encoding="utf-8")


def is_reachable(bootstrap: str) -> bool:
    """Whether a broker answers a metadata request."""
    try:
        Admin({"bootstrap.servers": bootstrap, "log_level": "0"}).partitions(2)
    except KafkaError:
        return False
    return True
