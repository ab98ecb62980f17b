"""`homma aggregate --engine flink`: has Flink make candles, and starts it anew after a crash."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from homma.aggregate.flink import SHADED, Job, script
from homma.cli.flink_state import (
    Ticks,
    begin,
    checkpoints_uri,
    home_of,
    lies_here,
    newest_checkpoint,
    note,
    noted,
    path_of,
)
from homma.errors import HommaError, ServerFailed, SettingError, StateError
from homma.settings import AggregateSettings, EngineSettings, FlinkSettings
from homma.stack import flink as server
from homma.stack import folder
from homma.stack.backoff import Backoff
from homma.stack.flink import Flink
from homma.stack.flink_rest import ENDED, FlinkJob, Rest
from homma.stack.jars import fetch, read_lock
from homma.stack.ports import LOOPBACK, listens, must_be_free
from homma.stack.process import Process, State
from homma.topics.contract import Topics
from homma.topics.java import java_properties
from homma.topics.kafka.connection import Connection

log = logging.getLogger("homma.flink")

_LOOK_S: Final = 0.2
_SAVE_WITHIN_S: Final = 120.0
#: A cluster's JobManager may be starting anew.
_ABSENT_S: Final = 60.0

Stopped = Callable[[], bool]


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
        cluster = _cluster(home, job, engine)
        if settings.rebuild and isinstance(cluster, _There):
            _must_not_run(cluster, job)
        ticks = Ticks(kafka, topics, settings.group)
        try:
            begin(home, job, ticks, cluster.restore())
            worked_off = ticks.until_end() if settings.until_end else lambda: False
            _follow(cluster, job, worked_off, stopped)
        finally:
            ticks.close()


def _must_not_run(cluster: "_There", job: Job) -> None:
    """A rebuild of what is being made would be its second writer."""
    running = cluster.rest.job(job.name)
    if running is not None and running.state not in ENDED:
        raise StateError(
            f"{job.name} runs on {cluster.rest.address}", "end it there, then start with --rebuild"
        )


def _cluster(home: Path, job: Job, engine: EngineSettings) -> "_Here | _There":
    if not engine.jobmanager and not lies_here(job.checkpoints):
        raise SettingError(
            f"the Flink on this machine cannot write to {job.flink.checkpoints}",
            "name a folder by --checkpoints, or a cluster by --jobmanager",
        )
    jars = fetch(read_lock("flink"), engine.cache.expanduser() / "jars", base_url=engine.maven)
    flink = Flink(home, jars, engine.flink_port, engine.flink_memory, job.flink.parallelism)
    if engine.jobmanager:
        return _There(flink, job, engine.jobmanager)
    must_be_free(engine.flink_port, "--flink-port")
    return _Here(flink, job)


def _lying_there(job: Job) -> str | None:
    """The newest checkpoint of a job, where its place can be looked into from here."""
    return newest_checkpoint(path_of(job.checkpoints)) if lies_here(job.checkpoints) else None


class _StopRequested(Exception):
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
        return _lying_there(self._job)

    def start(self, text: str, stopped: Stopped) -> None:
        """Start it, and wait until the job's tasks all run."""
        server.write(self._flink, text)

        def ready() -> bool:
            if stopped():
                raise _StopRequested
            # Who asks a port that nobody listens on may get hold of it, and answer to themselves.
            pid = process.status.pid
            if pid is None or not listens(pid, self._flink.port):
                return False
            job = self.rest.job(self._job.name)
            return job is not None and job.working

        process = self._process = server.cluster(self._flink, ready)
        process.start()

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
        """The newest checkpoint of the job that the cluster knows, or that is known here."""
        job = self.rest.job(self._job.name)
        found = self.rest.checkpoint(job.number) if job is not None else None
        if found is not None:
            return found.path
        # What was noted may have been replaced while nothing of homma ran.
        return _lying_there(self._job) or noted(self._flink.folder)

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
            if stopped():
                raise _StopRequested
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
            note(self._flink.folder, found.path)
        if job.state not in ENDED:
            return None
        return self.rest.failure(job.number) if job.state == "FAILED" else ""

    def over(self) -> None:
        """The cluster keeps it."""


def _follow(
    cluster: _Here | _There, job: Job, worked_off: Callable[[], bool], stopped: Stopped
) -> None:
    """Start the job, anew after each crash, until it is to end."""
    backoff, fresh = Backoff(), job.settings.rebuild
    while not stopped():
        began_s = time.monotonic()
        restored = None if fresh else cluster.restore()
        fresh = False
        log.info("starting Flink, from %s", restored or "the oldest tick kept")
        try:
            cluster.start(script(replace(job, restore=restored)), stopped)
            log.info("Flink runs: http://%s", cluster.rest.address)
            why = _watch(cluster, job, worked_off, stopped)
        except _StopRequested:
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
        if delay_s is None or stopped():
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
