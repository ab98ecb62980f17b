"""Answers between engine and broker are delayed or lost, and connections break."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from homma.core.interval import CLOCK
from homma.errors import Aborted
from homma.topics.kafka.reading import GroupOffsets, Reader
from tests.support.engines import (
    SUCCESSOR,
    Engines,
    Feed,
    Progress,
    Running,
    Watch,
    at_work,
    check,
    market,
)
from tests.support.kafka_proxy import Api, Effect, Fault, Faults, Proxy, Side
from tests.support.pipeline import Pipeline, until
from tests.support.second_listener import Listener, listening
from tests.support.waiting import free_ports

#: The requests that a transaction is made of.
TRANSACTION = (
    Api.ADD_PARTITIONS_TO_TXN,
    Api.PRODUCE,
    Api.ADD_OFFSETS_TO_TXN,
    Api.TXN_OFFSET_COMMIT,
    Api.END_TXN,
)
#: Requests after END_TXN: those that ask for the end again, and those of the next transaction.
ENDS = {Api.END_TXN, Api.INIT_PRODUCER_ID}
BEGINS = {*TRANSACTION} - ENDS
#: Each of these fails for an engine of its own, so that the faults run at the same time.
FAULTY = (*TRANSACTION, Api.FETCH)
KINDS = {
    "answer late": (Side.ANSWER, Effect.HOLD),
    "answer lost": (Side.ANSWER, Effect.LOSE),
    "cut before the answer": (Side.ANSWER, Effect.CUT),
    "request late": (Side.REQUEST, Effect.HOLD),
    "request lost": (Side.REQUEST, Effect.LOSE),
}


@dataclass(frozen=True)
class Route:
    """The direct address of a broker, and the address behind the faulty proxy."""

    direct: str
    proxied: str
    faults: Faults

    def inject(self, *faults: Fault) -> None:
        """Plan faults, and wait until they have struck."""
        self.faults.plan(*faults)
        for fault in faults:
            assert fault.struck.wait(60), fault


@pytest.fixture(scope="module")
def route(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    faults = Faults()
    proxy = Proxy(faults.connect)
    [port] = free_ports(1)
    listener = Listener("PROXIED", "PLAINTEXT", port, advertised=proxy.port)
    folder = tmp_path_factory.mktemp("proxied")
    with proxy.to(port), listening(folder, jars, listener) as direct:
        yield Route(direct, f"127.0.0.1:{proxy.port}", faults)


# --- late, lost and cut -----------------------------------------------------------------------
def engine_with(route: Route, pipeline: Pipeline, api: Api) -> Pipeline:
    """The same pipeline through the proxy; its clients are named after their faulty request."""
    behind = Pipeline(route.proxied, pipeline.partitions, pipeline.name)
    # With this it notices a new engine at once.
    behind.config |= {"client.id": api.name, "heartbeat.interval.ms": "300"}
    return behind


def has_committed(engine: Pipeline) -> bool:
    """Whether the engine has committed anything."""
    labels = {"outcome": "committed"}
    count = engine.metrics.registry.get_sample_value("homma_transactions_total", labels)
    return bool(count)


def catch_up(pipeline: Pipeline, progress: Progress) -> None:
    """Wait until the engines have processed all current ticks."""
    reader = Reader(pipeline.config)
    ticks = pipeline.topics.ticks
    ends = [reader.offset_range(ticks, partition).end for partition in range(pipeline.partitions)]
    reader.close()

    def done() -> bool:
        offsets = progress.offsets()
        return bool(offsets) and all(o >= end for o, end in zip(offsets, ends, strict=True))

    until(done)


@pytest.mark.parametrize("seed", [1])
def test_late_and_lost_answers_break_no_transaction(route: Route, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    # As many partitions as engines, so each has one when all are at work.
    pipeline = Pipeline(route.direct, partitions=len(FAULTY))
    progress, engines = Progress(pipeline), [engine_with(route, pipeline, api) for api in FAULTY]
    with (
        Watch(pipeline),
        Feed(pipeline, market(seed, 40_000, 60), 400) as feed,
        ExitStack() as running,
    ):
        often = timedelta(milliseconds=50)
        threads = [running.enter_context(engine.running(emit_every=often)) for engine in engines]
        until(lambda: min(map(has_committed, engines)))
        for kind in chance.sample(list(KINDS), len(KINDS)):
            side, effect = KINDS[kind]
            faults = {
                api: Fault(api.name, api, side, effect, chance.randint(1, 5)) for api in FAULTY
            }
            print(kind, {api.name: fault.nth for api, fault in faults.items()})
            route.inject(*faults.values())
            catch_up(pipeline, progress)
            # No new transaction begins before the outcome of the last one is known.
            requests = route.faults.requests_since(faults[Api.END_TXN])
            assert next(api for api in requests if api in ENDS | BEGINS) in ENDS
            for fault in faults.values():
                fault.released.set()
        progress.reach(feed.stop())
        assert all(thread.is_alive() for thread in threads)
    check(pipeline)


# --- the engine dies meanwhile ----------------------------------------------------------------
#: Candles written without the offset; everything written; ended, but the answer is missing.
HELD_MESSAGES = (
    (Api.ADD_OFFSETS_TO_TXN, Side.REQUEST),
    (Api.END_TXN, Side.REQUEST),
    (Api.END_TXN, Side.ANSWER),
)
TAKING_OVER = ("answer lost", "cut before the answer", "request late")
CLIENT = "one"
#: The number of ticks for a run with --until-end.
COUNT = 2_000


def through_proxy(route: Route, client: str) -> tuple[str, ...]:
    """Flags for an engine that connects through the proxy, with a client id."""
    return ("--bootstrap.servers", route.proxied, "-X", f"client.id={client}")


def ends_of(pipeline: Pipeline, isolation: str) -> list[int]:
    """The end offset of each candle topic's only partition for a reader."""
    consumer = Consumer({**pipeline.config, "group.id": "looks", "isolation.level": isolation})
    partitions = [TopicPartition(topic, 0) for topic in pipeline.topics.candles.values()]
    ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
    consumer.close()
    return ends


def has_open_candles(pipeline: Pipeline) -> bool:
    """Whether an open transaction has written candles of all intervals."""
    ends = zip(
        ends_of(pipeline, "read_uncommitted"), ends_of(pipeline, "read_committed"), strict=True
    )
    return all(written > committed for written, committed in ends)


def hold(route: Route, pipeline: Pipeline, api: Api, side: Side, chance: random.Random) -> Fault:
    """Hold a request or an answer of the engine.

    Candles have been written by then, except on a very busy machine, where the client may add the
    offset before it has sent them, and cannot send them any more. A kill must be harmless then too.
    """
    fault = Fault(CLIENT, api, side, Effect.HOLD, chance.randint(1, 10))
    route.inject(fault)
    if api is Api.ADD_OFFSETS_TO_TXN:
        deadline_s = time.monotonic() + 5
        while not has_open_candles(pipeline) and time.monotonic() < deadline_s:
            time.sleep(0.1)
    return fault


@pytest.mark.parametrize("seed", [1])
def test_killed_during_a_request(route: Route, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(route.direct)
    kills = list(zip(chance.sample(HELD_MESSAGES, 3), chance.sample(TAKING_OVER, 3), strict=True))
    with at_work(pipeline, tmp_path, market(seed, 40_000, 8), 400) as (engines, feed, progress):
        engine = engines.start(*through_proxy(route, CLIENT), *SUCCESSOR)
        for (api, side), kind in kills:
            print(api.name, side.name, kind)
            progress.reach(progress.committed() + 50)
            fault = hold(route, pipeline, api, side, chance)
            engine.kill()
            # The successor's request fails too.
            successor = Fault(CLIENT, Api.INIT_PRODUCER_ID, *KINDS[kind])
            route.faults.plan(successor)
            engine = engines.start(*through_proxy(route, CLIENT), *SUCCESSOR)
            assert successor.struck.wait(60)
            catch_up(pipeline, progress)
            # Only now the request of the killed engine reaches the broker, if it was held.
            fault.released.set()
            successor.released.set()
        progress.reach(feed.stop())
        engine.stop()
    check(pipeline)


# --- until the end ----------------------------------------------------------------------------
def until_end(pipeline: Pipeline, engines: Engines, *flags: str) -> Running:
    """Start an engine that commits some ticks only once, at the end."""
    with Feed(pipeline, market(1, COUNT, 8), 0):
        pass
    return engines.start("--until-end", "--emit-every", "1h", *flags)


def check_ended(pipeline: Pipeline, engine: Running) -> None:
    """The engine has ended with success, and everything is committed."""
    assert engine.process.wait(60) == 0, engine.output()
    assert Progress(pipeline).committed() == COUNT
    check(pipeline)


def test_the_end_is_not_reached_while_the_last_commit_is_in_doubt(
    route: Route, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        running: list[tuple[Pipeline, Running, Fault]] = []
        for side in Side:
            pipeline, client = Pipeline(route.direct), side.name
            folder = tmp_path / client
            folder.mkdir()
            engines = stack.enter_context(Engines(pipeline, folder))
            lost = Fault(client, Api.END_TXN, side, Effect.LOSE)
            route.faults.plan(lost)
            running.append(
                (pipeline, until_end(pipeline, engines, *through_proxy(route, client)), lost)
            )
        for pipeline, engine, lost in running:
            check_ended(pipeline, engine)
            assert lost.struck.is_set()
            assert "Warning" not in engine.output()


def test_the_end_is_not_reached_while_the_last_commit_is_rolled_back(
    route: Route, tmp_path: Path
) -> None:
    pipeline = Pipeline(route.direct)
    with Engines(pipeline, tmp_path) as engines:
        limit_months(pipeline, 200)
        engine = until_end(pipeline, engines)
        until(lambda: engine.output().count("rolled back") > 1)
        limit_months(pipeline, 1_000_000)
        check_ended(pipeline, engine)


def limit_months(pipeline: Pipeline, size_bytes: int) -> None:
    """Limit the size of the monthly candles that Kafka accepts."""
    entry = ConfigEntry(
        "max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET
    )
    topic = ConfigResource(
        ConfigResource.Type.TOPIC, pipeline.topics.candles[CLOCK.code], incremental_configs=[entry]
    )
    client = AdminClient(pipeline.config)
    client.incremental_alter_configs([topic])[topic].result(10)


# --- a broker that cannot end a transaction ---------------------------------------------------
def test_a_producer_closes_whatever_happens_to_its_transaction(route: Route) -> None:
    pipeline = Pipeline(route.direct)
    group = GroupOffsets(pipeline.config, pipeline.settings.group, pipeline.topics.ticks)
    producer = pipeline.foreign_transaction()
    producer.init()

    def write() -> None:
        producer.begin()
        producer.send(pipeline.topics.candles[CLOCK.code], 0, [b"{}"], [b"{}"], [0], [[]])

    def rolled_back() -> bool:
        write()
        try:
            producer.commit(pipeline.topics.ticks, 0, 0, "", group.group_metadata())
        except Aborted:
            producer.abort()
            return True
        return False

    # Too small even for Kafka's own record of a rolled back transaction.
    limit_months(pipeline, 1)
    until(rolled_back)
    write()
    # Until the client has to wait for the end of that transaction.
    time.sleep(1)
    closing = threading.Thread(target=producer.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    group.close()
