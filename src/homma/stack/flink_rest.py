"""What Flink's REST interface tells of jobs, and how one is ended so that it can go on later."""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final

from homma.errors import ServerFailed

ASK_S: Final = 5.0
#: States that a job does not leave.
ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})


@dataclass(frozen=True, slots=True)
class FlinkJob:
    """A job as Flink lists it. `working`: all of its tasks run."""

    number: str
    name: str
    state: str
    started_ms: int
    working: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A completed checkpoint: where it is, and when it was begun."""

    path: str
    begun_ms: int


class Rest:
    """A cluster's REST, at `address`, HOST:PORT."""

    def __init__(self, address: str) -> None:
        self.address = address

    def answers(self) -> bool:
        """Whether somebody is there."""
        return self._ask("/config") is not None

    def job(self, name: str) -> FlinkJob | None:
        """The youngest job of that name, whatever its state; None where there is none."""
        found = self._ask("/jobs/overview") or {}
        jobs = [_job(one) for one in found.get("jobs", ()) if one["name"] == name]
        return max(jobs, key=lambda job: job.started_ms, default=None)

    def checkpoint(self, number: str) -> Checkpoint | None:
        """A job's newest checkpoint, or savepoint."""
        found = self._ask(f"/jobs/{number}/checkpoints") or {}
        latest = found.get("latest") or {}
        done = [latest[kind] for kind in ("completed", "savepoint") if latest.get(kind)]
        complete = [
            one
            for one in done
            if one.get("external_path", "").find("://") > 0
            or one.get("external_path", "").startswith("file:")
        ]
        newest = max(complete, key=lambda one: int(one["trigger_timestamp"]), default=None)
        if newest is None:
            return None
        return Checkpoint(newest["external_path"], int(newest["trigger_timestamp"]))

    def stop(self, number: str, folder: str) -> str:
        """Ask a job to save its state in a folder and to end; gives the request's number."""
        body = {"targetDirectory": folder, "drain": False, "formatType": "NATIVE"}
        found = self._ask(f"/jobs/{number}/stop", body)
        if found is None:
            raise ServerFailed(
                f"Flink at {self.address} does not end job {number}",
                "see its log; the job goes on from its last checkpoint when it is started again",
            )
        return str(found["request-id"])

    def saved(self, number: str, request: str) -> str | None:
        """Where the state went that `stop` asked for; None as long as it is being written.

        Raises ServerFailed where it could not be written: then the job runs on.
        """
        found = self._ask(f"/jobs/{number}/savepoints/{request}")
        if found is None or found["status"]["id"] != "COMPLETED":
            return None
        operation = found["operation"]
        if "failure-cause" in operation:
            lines = str(operation["failure-cause"].get("stack-trace", "")).splitlines()
            raise ServerFailed(
                f"Flink could not save the state of job {number}: {lines[0] if lines else '?'}",
                "see its log; the job goes on from its last checkpoint when it is started again",
            )
        return str(operation["location"])

    def failure(self, number: str) -> str:
        """The first line of what ended a job."""
        found = self._ask(f"/jobs/{number}/exceptions") or {}
        text = str(found.get("root-exception") or "")
        causes = [line for line in text.splitlines() if line.startswith("Caused by:")]
        return (causes or text.splitlines() or ["it does not say why"])[-1]

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ASK_S) as answer:  # noqa: S310
                return json.load(answer)
        except (HTTPException, OSError, ValueError):
            return None


def _job(found: Mapping[str, Any]) -> FlinkJob:
    tasks = found["tasks"]
    return FlinkJob(
        number=found["jid"],
        name=found["name"],
        state=found["state"],
        started_ms=found["start-time"],
        working=found["state"] == "RUNNING"
        and tasks["running"] + tasks["finished"] == tasks["total"] > 0,
    )
