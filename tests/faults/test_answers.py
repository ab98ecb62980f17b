"""Between engine and broker answers come late, or never, and connections break off."""

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

from homma.topics.kafka.reading import GroupReader, Reader
from homma.topics.kafka.writing import Aborted
from tests.aggregate.pipeline import Pipeline, until
from tests.faults.engines import (
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
from tests.faults.proxy import Api, Effect, Fault, Faults, Proxy, Side
from tests.stack.second_listener import Listener, listening
from tests.stack.waiting import free_ports

#: The requests that a transaction is made of.
TRANSACTION = (
    Api.ADD_PARTITIONS_TO_TXN,
    Api.PRODUCE,
    Api.ADD_OFFSETS_TO_TXN,
    Api.TXN_OFFSET_COMMIT,
    Api.END_TXN,
)
#: After the end of a transaction is asked for: what asks again, and what begins another.
ENDS = {Api.END_TXN, Api.INIT_PRODUCER_ID}
BEGINS = {*TRANSACTION} - ENDS
#: Each is the weak spot of an engine of its own, so that they wait at the same time.
WEAK = (*TRANSACTION, Api.FETCH)
KINDS = {
    "answer late": (Side.ANSWER, Effect.HOLD),
    "answer lost": (Side.ANSWER, Effect.LOSE),
    "cut before the answer": (Side.ANSWER, Effect.CUT),
    "request late": (Side.REQUEST, Effect.HOLD),
    "request lost": (Side.REQUEST, Effect.LOSE),
}


@dataclass(frozen=True)
class Line:
    """The way to a broker, and the way that faults happen on."""

    direct: str
    proxied: str
    faults: Faults

    def struck(self, *faults: Fault) -> None:
        """Have faults, and wait until they have struck."""
        self.faults.plan(*faults)
        for fault in faults:
            assert fault.struck.wait(60), fault


@pytest.fixture(scope="module")
def line(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    faults = Faults()
    proxy = Proxy(faults.talk)
    [port] = free_ports(1)
    listener = Listener("PROXIED", "PLAINTEXT", port, advertised=proxy.port)
    folder = tmp_path_factory.mktemp("proxied")
    with proxy.to(port), listening(folder, jars, listener) as direct:
        yield Line(direct, f"127.0.0.1:{proxy.port}", faults)


# --- late, lost and cut -----------------------------------------------------------------------
def engine_with(line: Line, pipeline: Pipeline, weak: Api) -> Pipeline:
    """The same pipeline by way of the proxy, its clients named after their weak spot."""
    behind = Pipeline(line.proxied, pipeline.partitions, pipeline.name)
    # It hears at once when another engine comes.
    behind.config |= {"client.id": weak.name, "heartbeat.interval.ms": "300"}
    return behind


def at_work_now(engine: Pipeline) -> bool:
    """Whether it has committed anything."""
    labels = {"outcome": "committed"}
    found = engine.metrics.registry.get_sample_value("homma_transactions_total", labels)
    return bool(found)


def work_off(pipeline: Pipeline, progress: Progress) -> None:
    """All that is there now is worked off soon."""
    reader = Reader(pipeline.config)
    ticks = pipeline.topics.ticks
    ends = [reader.kept(ticks, partition).end for partition in range(pipeline.partitions)]
    reader.close()

    def done() -> bool:
        offsets = progress.offsets()
        return bool(offsets) and all(o >= end for o, end in zip(offsets, ends, strict=True))

    until(done)


@pytest.mark.parametrize("seed", [1])
def test_late_and_lost_answers_tear_no_transaction(line: Line, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    # As many partitions as engines, and each has one when all are at work.
    pipeline = Pipeline(line.direct, partitions=len(WEAK))
    progress, engines = Progress(pipeline), [engine_with(line, pipeline, api) for api in WEAK]
    with (
        Watch(pipeline),
        Feed(pipeline, market(seed, 40_000, 60), 400) as feed,
        ExitStack() as running,
    ):
        often = timedelta(milliseconds=50)
        threads = [running.enter_context(engine.running(emit_every=often)) for engine in engines]
        until(lambda: min(map(at_work_now, engines)))
        for kind in chance.sample(list(KINDS), len(KINDS)):
            side, effect = KINDS[kind]
            faults = {api: Fault(api.name, api, side, effect, chance.randint(1, 5)) for api in WEAK}
            print(kind, {api.name: fault.nth for api, fault in faults.items()})
            line.struck(*faults.values())
            work_off(pipeline, progress)
            # Nothing is begun before it is known how the last transaction ended.
            asked = line.faults.asked_since(faults[Api.END_TXN])
            assert next(api for api in asked if api in ENDS | BEGINS) in ENDS
            for fault in faults.values():
                fault.released.set()
        progress.reach(feed.stop())
        assert all(thread.is_alive() for thread in threads)
    check(pipeline)


# --- the engine dies meanwhile ----------------------------------------------------------------
#: The candles are written and the offset is not in; all is in and not ended; ended and not told.
HELD = (
    (Api.ADD_OFFSETS_TO_TXN, Side.REQUEST),
    (Api.END_TXN, Side.REQUEST),
    (Api.END_TXN, Side.ANSWER),
)
TAKING_OVER = ("answer lost", "cut before the answer", "request late")
CLIENT = "one"
#: How many ticks there are until the end.
COUNT = 2_000


def through(line: Line, client: str) -> tuple[str, ...]:
    """Flags for a way through the proxy, under a name."""
    return ("--bootstrap.servers", line.proxied, "-X", f"client.id={client}")


def ends_of(pipeline: Pipeline, isolation: str) -> list[int]:
    """Where a reader of each candle topic's one partition would end."""
    consumer = Consumer({**pipeline.config, "group.id": "looks", "isolation.level": isolation})
    places = [TopicPartition(topic, 0) for topic in pipeline.topics.candles]
    ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
    consumer.close()
    return ends


def written(pipeline: Pipeline) -> bool:
    """Whether there are candles of an open transaction, in all intervals."""
    ends = zip(
        ends_of(pipeline, "read_uncommitted"), ends_of(pipeline, "read_committed"), strict=True
    )
    return all(beyond > committed for beyond, committed in ends)


def hold(line: Line, pipeline: Pipeline, api: Api, side: Side, chance: random.Random) -> Fault:
    """A request or an answer of the engine's, held.

    Candles are there by then, but on a very busy machine: there the client may ask for the offset
    before it has sent them, and cannot send them any more. A death is to do no harm then, either.
    """
    held = Fault(CLIENT, api, side, Effect.HOLD, chance.randint(1, 10))
    line.struck(held)
    if api is Api.ADD_OFFSETS_TO_TXN:
        end_s = time.monotonic() + 5
        while not written(pipeline) and time.monotonic() < end_s:
            time.sleep(0.1)
    return held


@pytest.mark.parametrize("seed", [1])
def test_killed_in_mid_request(line: Line, tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = Pipeline(line.direct)
    kills = list(zip(chance.sample(HELD, 3), chance.sample(TAKING_OVER, 3), strict=True))
    with at_work(pipeline, tmp_path, market(seed, 40_000, 8), 400) as (engines, feed, progress):
        engine = engines.start(*through(line, CLIENT), *SUCCESSOR)
        for (api, side), kind in kills:
            print(api.name, side.name, kind)
            progress.reach(progress.committed() + 50)
            held = hold(line, pipeline, api, side, chance)
            engine.kill()
            # Who takes over is not answered either.
            again = Fault(CLIENT, Api.INIT_PRODUCER_ID, *KINDS[kind])
            line.faults.plan(again)
            engine = engines.start(*through(line, CLIENT), *SUCCESSOR)
            assert again.struck.wait(60)
            work_off(pipeline, progress)
            # What the dead one has asked reaches the broker now, if it is not there yet.
            held.released.set()
            again.released.set()
        progress.reach(feed.stop())
        engine.stop()
    check(pipeline)


# --- until the end ----------------------------------------------------------------------------
def until_end(pipeline: Pipeline, engines: Engines, *flags: str) -> Running:
    """An engine that is to commit some ticks once, at the end."""
    with Feed(pipeline, market(1, COUNT, 8), 0):
        pass
    return engines.start("--until-end", "--emit-every", "1h", *flags)


def ended(pipeline: Pipeline, engine: Running) -> None:
    """It says that all is done, and it is."""
    assert engine.process.wait(60) == 0, engine.said()
    assert Progress(pipeline).committed() == COUNT
    check(pipeline)


def test_the_end_is_not_reached_while_the_last_commit_is_in_doubt(
    line: Line, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        running: list[tuple[Pipeline, Running, Fault]] = []
        for side in Side:
            pipeline, client = Pipeline(line.direct), side.name
            folder = tmp_path / client
            folder.mkdir()
            engines = stack.enter_context(Engines(pipeline, folder))
            lost = Fault(client, Api.END_TXN, side, Effect.LOSE)
            line.faults.plan(lost)
            running.append((pipeline, until_end(pipeline, engines, *through(line, client)), lost))
        for pipeline, engine, lost in running:
            ended(pipeline, engine)
            assert lost.struck.is_set()
            assert "Warning" not in engine.said()


def test_the_end_is_not_reached_while_the_last_commit_is_rolled_back(
    line: Line, tmp_path: Path
) -> None:
    pipeline = Pipeline(line.direct)
    with Engines(pipeline, tmp_path) as engines:
        limit_months(pipeline, 200)
        engine = until_end(pipeline, engines)
        until(lambda: engine.said().count("rolled back") > 1)
        limit_months(pipeline, 1_000_000)
        ended(pipeline, engine)


def limit_months(pipeline: Pipeline, size_bytes: int) -> None:
    """The largest candle of a month that Kafka takes."""
    entry = ConfigEntry(
        "max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET
    )
    topic = ConfigResource(
        ConfigResource.Type.TOPIC, pipeline.topics.candles[-1], incremental_configs=[entry]
    )
    client = AdminClient(pipeline.config)
    client.incremental_alter_configs([topic])[topic].result(10)


# --- a broker that cannot end a transaction ---------------------------------------------------
def test_a_producer_is_let_go_of_whatever_becomes_of_its_transaction(line: Line) -> None:
    pipeline = Pipeline(line.direct)
    group = GroupReader(pipeline.config, pipeline.settings.group, pipeline.topics.ticks, 6_000)
    producer = pipeline.foreign_transaction()
    producer.init()

    def write() -> None:
        producer.begin()
        producer.send(pipeline.topics.candles[-1], 0, [b"{}"], [b"{}"], [0], [[]])

    def rolled_back() -> bool:
        write()
        try:
            producer.commit(pipeline.topics.ticks, 0, 0, "", group.owner())
        except Aborted:
            producer.abort()
            return True
        return False

    # Too little for Kafka's own record that says that a transaction was rolled back.
    limit_months(pipeline, 1)
    until(rolled_back)
    write()
    # Until the client is told to wait for the end of that transaction.
    time.sleep(1)
    closing = threading.Thread(target=producer.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    group.close()
