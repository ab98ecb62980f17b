"""Run homma and dbt in tasks of Airflow, each in its own environment, with readable errors.

The programs are at their paths in the project. Environment variables set their connections: those
of homma's settings and those in deploy/dbt/profiles.yml.
"""

import json
import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException

PROJECT = Path(__file__).resolve().parents[3]
HOMMA = PROJECT / ".venv" / "bin" / "homma"
DBT = PROJECT / "deploy" / "dbt"
#: Lines of a program's output in its error message.
LAST_LINES = 15

#: Assets that other DAGs can be scheduled on.
CANDLES = Asset("homma://candles")
REPAIRED = Asset("homma://candles/repaired")
MARTS = Asset("homma://marts")
FILES = Asset("homma://lake/files")

log = logging.getLogger(__name__)


class ProgramError(AirflowException):
    """A program failed; a retry may succeed."""


def homma(*words: str) -> dict[str, Any]:
    """The JSON output of a command of homma. Raises ProgramError without JSON output."""
    completed = subprocess.run(
        [HOMMA, *words, "--json"], capture_output=True, text=True, check=False
    )
    log.info("%s", completed.stdout or completed.stderr)
    try:
        output: dict[str, Any] = json.loads(completed.stdout)
    except json.JSONDecodeError:
        raise ProgramError(
            _error_text(f"homma {words[0]}", completed.returncode, completed.stderr)
        ) from None
    return output


def dbt(*words: str) -> None:
    """Run dbt over the lake. The error names each failure; a failed test is not retried."""
    results = Path(os.environ.get("DBT_TARGET_PATH", DBT / "target")) / "run_results.json"
    # Results of an earlier run would name other failures.
    results.unlink(missing_ok=True)
    folders = {"DBT_PROJECT_DIR": str(DBT), "DBT_PROFILES_DIR": str(DBT)}
    status, text = _run_logged([str(DBT / ".venv" / "bin" / "dbt"), *words], os.environ | folders)
    if status == 0:
        return
    failures = _failures(results)
    if not failures:
        raise ProgramError(_error_text(f"dbt {words[0]}", status, text))
    listed = "\n".join(f"  {name}: {message}" for _, name, message in failures)
    error = AirflowFailException if all(kind == "fail" for kind, _, _ in failures) else ProgramError
    raise error(f"dbt {words[0]}: {len(failures)} failed\n{listed}")


def _run_logged(argv: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a program with its output in the task's log. Returns the exit status and the output."""
    lines = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.info("%s", line.rstrip())
            lines.append(line)
    return process.returncode, "".join(lines)


def _failures(results: Path) -> list[tuple[str, str, str]]:
    """Status (`error` or `fail`), node name and message of each failure."""
    if not results.exists():
        return []
    rows = json.loads(results.read_text(encoding="utf-8"))["results"]
    return [
        (row["status"], row["unique_id"].split(".")[2], " ".join(str(row["message"]).split()))
        for row in rows
        if row["status"] in ("error", "fail")
    ]


def _error_text(command: str, status: int, text: str) -> str:
    last = "\n".join(text.strip().splitlines()[-LAST_LINES:])
    return f"{command} ended with status {status}:\n{last}"
