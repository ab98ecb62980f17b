"""`homma aggregate --engine flink`: run the job in Flink, and restart it after a crash."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from homma.errors import HommaError, ServerFailed, SettingError, StateError
from homma.flink import cluster as server
from homma.flink.cluster import Flink
from homma.flink.rest import ENDED, FlinkJob, Rest
from homma.flink.sql import SHADED, Job, script
from homma.flink.state import (
    TickGroup,
    checkpoints_uri,
    home_of,
    is_local,
    newest_checkpoint,
    path_of,
    prepare_state,
    store_checkpoint,
    stored_checkpoint,
)
from homma.settings import AggregateSettings, EngineSettings, FlinkSettings
from homma.stack.downloads.jars import fetch, read_lock
from homma.stack.processes import folder
from homma.stack.processes.backoff import Backoff
from homma.stack.processes.ports import LOOPBACK, listens, must_be_free
from homma.stack.processes.process import Process, State
from homma.topics.contract import Topics
from homma.topics.java import java_properties
from homma.topics.kafka.connection import Connection

log = logging.getLogger("homma.flink")

_POLL_S: Final = 0.2
_SAVE_TIMEOUT_S: Final = 120.0
#: A cluster's JobManager may be restarting.
_MISSING_TIMEOUT_S: Final = 60.0

Stopped = Callable[[], bool]


def run(
    connection: Connection,
    topics: Topics,
    settings: AggregateSettings,
    flink: FlinkSettings,
    engine: EngineSettings,
    stopped: Stopped,
) -> None:
    """Run until `stopped`, or with until_end until the ticks that exist now are processed."""
    home = home_of(engine, settings.group, topics.ticks)
    job = Job(
        topics=topics,
        settings=settings,
        flink=flink,
        client=java_properties(connection, SHADED),
        checkpoints=checkpoints_uri(flink, engine, settings.group, topics.ticks),
    )
    with folder.claim(home):
        cluster = _cluster(home, job, engine)
        if settings.rebuild and isinstance(cluster, _RemoteFlink):
            _must_not_run(cluster, job)
        ticks = TickGroup(connection, topics, settings.group)
        try:
            prepare_state(home, job, ticks, cluster.restore())
            is_done = ticks.until_end() if settings.until_end else lambda: False
            _supervise(cluster, job, is_done, stopped)
        finally:
            ticks.close()


def _must_not_run(cluster: "_RemoteFlink", job: Job) -> None:
    """Reject a rebuild while the job runs: both would write the same candles."""
    running = cluster.rest.job(job.name)
    if running is not None and running.state not in ENDED:
        raise StateError(
            f"{job.name} runs on {cluster.rest.address}",
            "cancel it first, then use --rebuild",
        )


def _cluster(home: Path, job: Job, engine: EngineSettings) -> "_LocalFlink | _RemoteFlink":
    if not engine.jobmanager and not is_local(job.checkpoints):
        raise SettingError(
            f"Flink on this machine cannot write to {job.flink.checkpoints}",
            "specify a folder with --checkpoints, or a cluster with --jobmanager",
        )
    jars = fetch(read_lock("flink"), engine.cache.expanduser() / "jars", base_url=engine.maven)
    flink = Flink(home, jars, engine.flink_port, engine.flink_memory, job.flink.parallelism)
    if engine.jobmanager:
        return _RemoteFlink(flink, job, engine.jobmanager)
    must_be_free(engine.flink_port, "--flink-port")
    return _LocalFlink(flink, job)


def _local_checkpoint(job: Job) -> str | None:
    """Return the newest checkpoint of a job, if its checkpoints are in a local folder."""
    return newest_checkpoint(path_of(job.checkpoints)) if is_local(job.checkpoints) else None


class _StopRequested(Exception):
    """The process was told to stop while Flink was starting."""


class _LocalFlink:
    """Flink in a child process."""

    def __init__(self, flink: Flink, job: Job) -> None:
        self._flink = flink
        self._job = job
        self.rest = Rest(f"{LOOPBACK}:{flink.port}")
        self._process: Process | None = None

    def restore(self) -> str | None:
        """Return the newest checkpoint in the folder."""
        return _local_checkpoint(self._job)

    def start(self, text: str, stopped: Stopped) -> None:
        """Start Flink, and wait until all tasks of the job run."""
        server.write(self._flink, text)

        def ready() -> bool:
            if stopped():
                raise _StopRequested
            # A client that connects to a free local port can be given that port and answer itself.
            pid = process.status.pid
            if pid is None or not listens(pid, self._flink.port):
                return False
            job = self.rest.job(self._job.name)
            return job is not None and job.is_running

        process = self._process = server.cluster(self._flink, ready)
        process.start()

    def exit_reason(self) -> str | None:
        """Return why it failed; an empty text if someone else ended it, None while it runs."""
        assert self._process is not None
        status = self._process.status
        if status.state is State.RUNNING:
            return None
        return "" if status.last_exit == 0 else status.trouble or "it exited"

    def close(self) -> None:
        """Stop Flink."""
        if self._process is not None:
            self._process.stop()


class _RemoteFlink:
    """Flink on a cluster: the job is submitted to it and monitored."""

    def __init__(self, flink: Flink, job: Job, jobmanager: str) -> None:
        self._flink = flink
        self._job = job
        self._jobmanager = jobmanager
        self.rest = Rest(jobmanager)
        self._missing_since: float | None = None

    def restore(self) -> str | None:
        """Return the newest checkpoint of the job, from the cluster or from this machine."""
        job = self.rest.job(self._job.name)
        checkpoint = self.rest.checkpoint(job.job_id) if job is not None else None
        if checkpoint is not None:
            return checkpoint.path
        # The stored path is used last, because it may have been replaced while homma did not run.
        return _local_checkpoint(self._job) or stored_checkpoint(self._flink.folder)

    def start(self, text: str, stopped: Stopped) -> None:
        """Submit the job, unless the cluster already runs it."""
        if not self.rest.is_reachable():
            raise ServerFailed(
                f"no JobManager answers at {self._jobmanager}",
                "start the JobManager, or correct --jobmanager",
            )
        job = self.rest.job(self._job.name)
        if job is None or job.state in ENDED:
            server.write(self._flink, text)
            client = server.submission(self._flink, self._jobmanager)
            client.start()
            while client.status.state is State.RUNNING and not stopped():
                time.sleep(_POLL_S)
            client.stop()
            if stopped():
                raise _StopRequested
            if client.status.last_exit != 0:
                raise ServerFailed(
                    f"{self._jobmanager} did not accept the job: {client.status.trouble}",
                    f"see {self._flink.out}",
                )
        log.info("job %s runs on %s", self._job.name, self._jobmanager)

    def exit_reason(self) -> str | None:
        """As in `_LocalFlink`. Also stores the path of the newest checkpoint."""
        job = self.rest.job(self._job.name)
        if job is None:
            self._missing_since = self._missing_since or time.monotonic()
            is_lost = time.monotonic() - self._missing_since > _MISSING_TIMEOUT_S
            return f"{self._jobmanager} no longer knows the job" if is_lost else None
        self._missing_since = None
        checkpoint = self.rest.checkpoint(job.job_id)
        if checkpoint is not None:
            store_checkpoint(self._flink.folder, checkpoint.path)
        if job.state not in ENDED:
            return None
        return self.rest.failure(job.job_id) if job.state == "FAILED" else ""

    def close(self) -> None:
        """Do nothing: the job keeps running on the cluster."""


def _supervise(
    cluster: _LocalFlink | _RemoteFlink, job: Job, is_done: Callable[[], bool], stopped: Stopped
) -> None:
    """Start the job, and restart it after each crash, until it is stopped."""
    backoff, discard_state = Backoff(), job.settings.rebuild
    while not stopped():
        start_s = time.monotonic()
        checkpoint = None if discard_state else cluster.restore()
        discard_state = False
        log.info("starting Flink from %s", checkpoint or "the oldest tick in Kafka")
        try:
            cluster.start(script(replace(job, restore=checkpoint)), stopped)
            log.info("Flink runs at http://%s", cluster.rest.address)
            reason = _watch(cluster, job, is_done, stopped)
        except _StopRequested:
            return
        except ServerFailed as error:
            reason = str(error)
            failure: HommaError = error
        else:
            if reason is None:
                return
            failure = ServerFailed(f"Flink exited: {reason}", "see its log in --dir")
        finally:
            cluster.close()
        delay_s = backoff.after(time.monotonic() - start_s)
        if delay_s is None or stopped():
            raise failure
        log.warning("%s; restarting Flink in %g s", reason, delay_s)
        _pause(delay_s, stopped)


def _watch(
    cluster: _LocalFlink | _RemoteFlink, job: Job, is_done: Callable[[], bool], stopped: Stopped
) -> str | None:
    """Wait for the end: return None if it was requested, or else the reason."""
    while True:
        reason = cluster.exit_reason()
        if reason is not None:
            if not reason:
                log.warning("the job was canceled in Flink, not by homma")
            return reason or None
        if stopped() or is_done():
            _save(cluster, job)
            return None
        time.sleep(_POLL_S)


def _save(cluster: _LocalFlink | _RemoteFlink, job: Job) -> None:
    """Stop the job after it saves its state and commits the candles of all ticks read."""
    running = cluster.rest.job(job.name)
    if running is None or running.state in ENDED:
        return
    request = cluster.rest.stop(running.job_id, job.checkpoints)
    until_s = time.monotonic() + _SAVE_TIMEOUT_S
    while time.monotonic() < until_s:
        if _is_over(cluster.rest.job(job.name)) or cluster.exit_reason() is not None:
            return
        cluster.rest.savepoint_path(running.job_id, request)
        time.sleep(_POLL_S)
    raise ServerFailed(
        f"Flink has not saved its state within {_SAVE_TIMEOUT_S:g} s",
        "see its log; the next start continues from its last checkpoint",
    )


def _is_over(job: FlinkJob | None) -> bool:
    return job is not None and job.state in ENDED


def _pause(seconds: float, stopped: Stopped) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not stopped():
        time.sleep(_POLL_S)
