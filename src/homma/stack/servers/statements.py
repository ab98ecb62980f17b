"""Runs SQL statements in a Trino on this machine, which creates its views."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Container
from typing import Any, Final

from homma.errors import ServerFailed
from homma.stack.processes.ports import LOOPBACK

#: Trino answers within seconds, even while a statement is still running.
_ANSWER_S: Final = 60.0
_USER: Final = "homma"


def split(text: str) -> list[str]:
    """Split a file into its statements; each ends with a semicolon at the end of a line."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    parts = "\n".join(lines).strip().removesuffix(";").split(";\n")
    return [part.strip() for part in parts]


def execute(port: int, sql: str, expected: Container[str] = ()) -> bool:
    """Run a statement; return False if it fails with an error of an expected name.

    Raises ServerFailed with Trino's message if it fails otherwise.
    """
    answer = _request(f"http://{LOOPBACK}:{port}/v1/statement", sql.encode())
    while "nextUri" in answer:
        answer = _request(answer["nextUri"])
    if "error" not in answer:
        return True
    if answer["error"].get("errorName") not in expected:
        raise ServerFailed(
            f"Trino could not run {sql.splitlines()[0]!r}: {answer['error']['message']}",
            "see Trino's log",
        )
    return False


def _request(address: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(address, body, {"X-Trino-User": _USER})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310
            return json.load(answer)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise ServerFailed(
            f"Trino does not answer at {address}: {error}", "see Trino's log"
        ) from error
