"""A client of Flink's REST API: job status, checkpoints, and stop with a savepoint."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final

from homma.errors import ServerFailed

REQUEST_S: Final = 5.0
#: The final states of a job.
ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})


@dataclass(frozen=True, slots=True)
class FlinkJob:
    """A job as Flink lists it. `is_running`: all of its tasks run."""

    job_id: str
    name: str
    state: str
    started_ms: int
    is_running: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A completed checkpoint or savepoint: its path, and when it was triggered."""

    path: str
    triggered_ms: int


class Rest:
    """The REST API of a cluster at `address` (HOST:PORT)."""

    def __init__(self, address: str) -> None:
        self.address = address

    def is_reachable(self) -> bool:
        """Whether the cluster answers."""
        return self._request("/config") is not None

    def job(self, name: str) -> FlinkJob | None:
        """The newest job of this name in any state; None if there is none."""
        overview = self._request("/jobs/overview") or {}
        jobs = [_job(row) for row in overview.get("jobs", ()) if row["name"] == name]
        return max(jobs, key=lambda job: job.started_ms, default=None)

    def checkpoint(self, job_id: str) -> Checkpoint | None:
        """The newest checkpoint or savepoint of a job."""
        checkpoints = self._request(f"/jobs/{job_id}/checkpoints") or {}
        latest = checkpoints.get("latest") or {}
        completed = [latest[kind] for kind in ("completed", "savepoint") if latest.get(kind)]
        stored = [
            row
            for row in completed
            if row.get("external_path", "").find("://") > 0
            or row.get("external_path", "").startswith("file:")
        ]
        newest = max(stored, key=lambda row: int(row["trigger_timestamp"]), default=None)
        if newest is None:
            return None
        return Checkpoint(newest["external_path"], int(newest["trigger_timestamp"]))

    def stop(self, job_id: str, folder: str) -> str:
        """Ask a job to write a savepoint to a folder and to end; returns the request's id."""
        body = {"targetDirectory": folder, "drain": False, "formatType": "NATIVE"}
        answer = self._request(f"/jobs/{job_id}/stop", body)
        if answer is None:
            raise ServerFailed(
                f"Flink at {self.address} could not stop job {job_id}",
                "see Flink's log; a restarted job continues from its last checkpoint",
            )
        return str(answer["request-id"])

    def savepoint_path(self, job_id: str, request_id: str) -> str | None:
        """The path of the savepoint that `stop` requested; None while it is being written.

        Raises ServerFailed if it could not be written; the job then keeps running.
        """
        answer = self._request(f"/jobs/{job_id}/savepoints/{request_id}")
        if answer is None or answer["status"]["id"] != "COMPLETED":
            return None
        operation = answer["operation"]
        if "failure-cause" in operation:
            lines = str(operation["failure-cause"].get("stack-trace", "")).splitlines()
            raise ServerFailed(
                f"Flink could not save the state of job {job_id}: {lines[0] if lines else '?'}",
                "see Flink's log; a restarted job continues from its last checkpoint",
            )
        return str(operation["location"])

    def failure(self, job_id: str) -> str:
        """The innermost cause of a job's failure, in one line."""
        exceptions = self._request(f"/jobs/{job_id}/exceptions") or {}
        text = str(exceptions.get("root-exception") or "")
        causes = [line for line in text.splitlines() if line.startswith("Caused by:")]
        return (causes or text.splitlines() or ["Flink gives no reason"])[-1]

    def _request(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310
                return json.load(answer)
        except (HTTPException, OSError, ValueError):
            return None


def _job(row: Mapping[str, Any]) -> FlinkJob:
    tasks = row["tasks"]
    return FlinkJob(
        job_id=row["jid"],
        name=row["name"],
        state=row["state"],
        started_ms=row["start-time"],
        is_running=row["state"] == "RUNNING"
        and tasks["running"] + tasks["finished"] == tasks["total"] > 0,
    )
