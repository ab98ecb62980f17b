"""`homma aggregate --engine flink`: has Flink make the candles, and starts it again after a crash.

Flink's state is in its checkpoints. Beside them stands what they belong to: the topic of ticks, by
its id, and the price.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from homma.aggregate.flink import SHADED, Job, script
from homma.errors import HommaError, ServerFailed, SettingError, StateError
from homma.settings import AggregateSettings, EngineSettings, FlinkSettings
from homma.stack import flink as server
from homma.stack import folder
from homma.stack.backoff import Backoff
from homma.stack.flink import Flink
from homma.stack.flink_rest import ENDED, FlinkJob, Rest
from homma.stack.jars import fetch, read_lock
from homma.stack.ports import LOOPBACK, must_be_free
from homma.stack.process import Process, State
from homma.topics.contract import Topics
from homma.topics.java import java_properties
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import GroupReader, Range, Reader

log = logging.getLogger("homma.flink")

_LOOK_S: Final = 0.2
_SAVE_WITHIN_S: Final = 120.0
#: A cluster's JobManager may be starting anew.
_ABSENT_S: Final = 60.0
_SESSION_MS: Final = 6_000
_PATIENCE_S: Final = 30.0
#: So far before a partition's end its last record is looked for.
_BACK: Final = 100
_METADATA: Final = "_metadata"

Stopped = Callable[[], bool]


def home_of(engine: EngineSettings, group: str, ticks: str) -> Path:
    """The folder of one job's data."""
    return engine.dir.absolute() / "flink" / f"{group}-{ticks}"


def checkpoints_uri(flink: FlinkSettings, engine: EngineSettings, group: str, ticks: str) -> str:
    """Where state goes, as Flink takes it."""
    given = flink.checkpoints
    if not given:
        if engine.jobmanager:
            raise SettingError(
                "a cluster's checkpoints need a place that all of it reaches",
                "name it by --checkpoints, such as s3://bucket/flink",
            )
        return (home_of(engine, group, ticks) / "checkpoints").as_uri()
    return given if "://" in given else Path(given).absolute().as_uri()


@dataclass(frozen=True, slots=True)
class Basis:
    """What the state belongs to."""

    topicId: str  # noqa: N815  as in the marks of homma's own engine
    price: str


def run(
    kafka: Connection,
    topics: Topics,
    settings: AggregateSettings,
    flink: FlinkSettings,
    engine: EngineSettings,
    stopped: Stopped,
) -> None:
    """Run until `stopped`, or with until_end until what is there now is worked off."""
    home = home_of(engine, settings.group, topics.ticks)
    job = Job(
        topics=topics,
        settings=settings,
        flink=flink,
        client=java_properties(kafka, SHADED),
        checkpoints=checkpoints_uri(flink, engine, settings.group, topics.ticks),
    )
    with folder.claim(home):
        ticks = _Ticks(kafka, topics, settings.group)
        try:
            _begin(home, job, ticks)
            worked_off = ticks.until_end() if settings.until_end else lambda: False
            _follow(_cluster(home, job, engine), job, worked_off, stopped)
        finally:
            ticks.close()


class _Ticks:
    """The topic of ticks and the group that reads it, looked at from outside."""

    def __init__(self, kafka: Connection, topics: Topics, group: str) -> None:
        self._kafka = kafka
        self._topics = topics
        self._group = group
        self._admin = Admin(kafka)
        self._partitions = self._admin.require(topics.ticks)
        self._reader = Reader(kafka)
        self._offsets = GroupReader(kafka, group, topics.ticks, _SESSION_MS)

    def basis(self, price: str) -> Basis:
        """What candles made now would belong to."""
        return Basis(self._admin.topic_id(self._topics.ticks) or "", price)

    def forget(self) -> None:
        """Have the group begin anew."""
        self._admin.forget_group(self._group)

    def must_be_new(self) -> None:
        """Refuse where another engine has been at work: its state is not Flink's."""
        committed = [self._offsets.committed(p) is not None for p in range(self._partitions)]
        written = any(
            self._reader.kept(topic, p).end
            for topic in self._topics.candles
            for p in range(self._partitions)
        )
        if any(committed) or written:
            what = "an offset" if any(committed) else "candles"
            raise StateError(
                f"there are {what} of group {self._group} and {self._topics.ticks}, and no "
                "checkpoint of Flink's here",
                "start with --rebuild to make the candles anew of the oldest tick kept, or name "
                "the --dir that has the checkpoints",
            )

    def until_end(self) -> Callable[[], bool]:
        """What says whether the ticks that are there now are in the candles."""
        ends = {p: self._last(p) for p in range(self._partitions)}

        def worked_off() -> bool:
            found = {p: self._offsets.committed(p) for p in ends}
            return all(
                end == 0 or (at is not None and at.offset >= end)
                for at, end in ((found[p], end) for p, end in ends.items())
            )

        return worked_off

    def _last(self, partition: int) -> int:
        """The offset after the last record: transactions leave marks beyond it."""
        kept = self._reader.kept(self._topics.ticks, partition)
        wanted = {self._topics.ticks: Range(max(kept.start, kept.end - _BACK), kept.end)}
        last = 0
        for batch in self._reader.read(partition, wanted, _PATIENCE_S):
            last = max(last, *((message.offset() or 0) + 1 for message in batch))
        return last

    def close(self) -> None:
        self._reader.close()
        self._offsets.close()


def _begin(home: Path, job: Job, ticks: _Ticks) -> None:
    """Make sure that state, ticks and settings belong together."""
    path, basis = home / "basis.json", ticks.basis(job.settings.price)
    if job.settings.rebuild:
        shutil.rmtree(home / "checkpoints", ignore_errors=True)
        (home / "checkpoint").unlink(missing_ok=True)
        ticks.forget()
    elif not path.exists():
        ticks.must_be_new()
    else:
        found = json.loads(path.read_text(encoding="utf-8"))
        _must_match(found, basis, job)
    path.write_text(json.dumps(asdict(basis)), encoding="utf-8")


def _must_match(found: Mapping[str, str], basis: Basis, job: Job) -> None:
    if found["price"] != basis.price:
        raise StateError(
            f"the candles are made of {found['price']}, and --price says {basis.price}",
            f"use --price {found['price']}, or start with --rebuild",
        )
    if found["topicId"] != basis.topicId:
        raise StateError(
            f"topic {job.topics.ticks} has been deleted and made again since the last checkpoint",
            "start with --rebuild",
        )


def _cluster(home: Path, job: Job, engine: EngineSettings) -> "_Here | _There":
    jars = fetch(read_lock("flink"), engine.cache.expanduser() / "jars", base_url=engine.maven)
    flink = Flink(home, jars, engine.flink_port, engine.flink_memory, job.flink.parallelism)
    if engine.jobmanager:
        return _There(flink, job, engine.jobmanager)
    must_be_free(engine.flink_port, "--flink-port")
    return _Here(flink, job)


class _Asked(Exception):
    """Somebody wants it to end while it is starting."""


class _Here:
    """Flink in a process of ours."""

    def __init__(self, flink: Flink, job: Job) -> None:
        self._flink = flink
        self._job = job
        self.rest = Rest(f"{LOOPBACK}:{flink.port}")
        self._process: Process | None = None

    def restore(self) -> str | None:
        """The newest checkpoint in the folder."""
        uri = self._job.checkpoints
        if not uri.startswith("file://"):
            return _noted(self._flink.folder)
        return newest_checkpoint(_path(uri))

    def start(self, text: str, stopped: Stopped) -> None:
        """Start it, and wait until the job's tasks all run."""
        server.write(self._flink, text)

        def ready() -> bool:
            if stopped():
                raise _Asked
            job = self.rest.job(self._job.name)
            return job is not None and job.working

        self._process = server.cluster(self._flink, ready)
        self._process.start()

    def ended(self) -> str | None:
        """Why it ended by itself; empty where it was told to by somebody else, None: it runs."""
        assert self._process is not None
        status = self._process.status
        if status.state is State.RUNNING:
            return None
        return "" if status.last_exit == 0 else status.trouble or "it ended"

    def over(self) -> None:
        """Nothing of it is left running."""
        if self._process is not None:
            self._process.stop()


class _There:
    """Flink on a cluster: the job is handed over, and looked after."""

    def __init__(self, flink: Flink, job: Job, jobmanager: str) -> None:
        self._flink = flink
        self._job = job
        self._jobmanager = jobmanager
        self.rest = Rest(jobmanager)
        self._missing_since: float | None = None

    def restore(self) -> str | None:
        """The newest checkpoint of the job that the cluster knows, or that was noted here."""
        job = self.rest.job(self._job.name)
        found = self.rest.checkpoint(job.number) if job is not None else None
        return found.path if found is not None else _noted(self._flink.folder)

    def start(self, text: str, stopped: Stopped) -> None:
        """Hand it over, unless the cluster has it already."""
        if not self.rest.answers():
            raise ServerFailed(
                f"no JobManager answers at {self._jobmanager}", "start it, or mend --jobmanager"
            )
        job = self.rest.job(self._job.name)
        if job is None or job.state in ENDED:
            server.write(self._flink, text)
            client = server.submission(self._flink, self._jobmanager)
            client.start()
            while client.status.state is State.RUNNING and not stopped():
                time.sleep(_LOOK_S)
            client.stop()
            if client.status.last_exit != 0:
                raise ServerFailed(
                    f"{self._jobmanager} did not take the job: {client.status.trouble}",
                    f"see {self._flink.out}",
                )
        log.info("job %s is on %s", self._job.name, self._jobmanager)

    def ended(self) -> str | None:
        """As of `_Here`; what its newest checkpoint is, is noted meanwhile."""
        job = self.rest.job(self._job.name)
        if job is None:
            self._missing_since = self._missing_since or time.monotonic()
            gone = time.monotonic() - self._missing_since > _ABSENT_S
            return f"{self._jobmanager} knows it no more" if gone else None
        self._missing_since = None
        found = self.rest.checkpoint(job.number)
        if found is not None:
            _note(self._flink.folder, found.path)
        if job.state not in ENDED:
            return None
        return self.rest.failure(job.number) if job.state == "FAILED" else ""

    def over(self) -> None:
        """The cluster keeps it."""


def _follow(
    cluster: _Here | _There, job: Job, worked_off: Callable[[], bool], stopped: Stopped
) -> None:
    """Start the job, anew after each crash, until it is to end."""
    backoff = Backoff()
    while not stopped():
        began_s = time.monotonic()
        restored = cluster.restore()
        log.info("starting Flink, from %s", restored or "the oldest tick kept")
        try:
            cluster.start(script(replace(job, restore=restored)), stopped)
            log.info("Flink runs: http://%s", cluster.rest.address)
            why = _watch(cluster, job, worked_off, stopped)
        except _Asked:
            return
        except ServerFailed as error:
            why = str(error)
            trouble: HommaError = error
        else:
            if why is None:
                return
            trouble = ServerFailed(f"Flink ended: {why}", "see its log in --dir")
        finally:
            cluster.over()
        delay_s = backoff.after(time.monotonic() - began_s)
        if delay_s is None:
            raise trouble
        log.warning("%s; Flink is started again in %g s", why, delay_s)
        _pause(delay_s, stopped)


def _watch(
    cluster: _Here | _There, job: Job, worked_off: Callable[[], bool], stopped: Stopped
) -> str | None:
    """Wait for the end: None where it was wanted, else what was in the way."""
    while True:
        why = cluster.ended()
        if why is not None:
            if not why:
                log.warning("the job was ended in Flink, not from here")
            return why or None
        if stopped() or worked_off():
            _save(cluster, job)
            return None
        time.sleep(_LOOK_S)


def _save(cluster: _Here | _There, job: Job) -> None:
    """End the job with its state saved, candles of all ticks read so far committed."""
    running = cluster.rest.job(job.name)
    if running is None or running.state in ENDED:
        return
    request = cluster.rest.stop(running.number, job.checkpoints)
    until_s = time.monotonic() + _SAVE_WITHIN_S
    while time.monotonic() < until_s:
        if _is_over(cluster.rest.job(job.name)) or cluster.ended() is not None:
            return
        cluster.rest.saved(running.number, request)
        time.sleep(_LOOK_S)
    raise ServerFailed(
        f"Flink has not saved its state within {_SAVE_WITHIN_S:g} s",
        "see its log; the next start goes on from its last checkpoint",
    )


def _is_over(job: FlinkJob | None) -> bool:
    return job is not None and job.state in ENDED


def _pause(seconds: float, stopped: Stopped) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not stopped():
        time.sleep(_LOOK_S)


def newest_checkpoint(checkpoints: Path) -> str | None:
    """The newest complete checkpoint or savepoint below a folder, as Flink takes it."""
    complete = [
        *checkpoints.glob(f"*/chk-*/{_METADATA}"),
        *checkpoints.glob(f"savepoint-*/{_METADATA}"),
    ]
    newest = max(complete, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if newest is None else newest.parent.as_uri()


def _path(uri: str) -> Path:
    """The folder that a file URI names."""
    return Path(unquote(urlsplit(uri).path))


def _note(home: Path, path: str) -> None:
    (home / "checkpoint").write_text(path, encoding="utf-8")


def _noted(home: Path) -> str | None:
    try:
        return (home / "checkpoint").read_text(encoding="utf-8") or None
    except FileNotFoundError:
        return None
