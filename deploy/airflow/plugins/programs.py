"""homma and dbt as tasks of Airflow: each in an environment of its own, and its failures in words.

They are found where the project has them, and what they connect to is told by the environment:
homma's own variables, and those that deploy/dbt/profiles.yml names.
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
#: How much of a program's last words a failure repeats.
LAST_LINES = 15

#: What has happened, for whoever wants to begin when it has.
CANDLES = Asset("homma://candles")
REPAIRED = Asset("homma://candles/repaired")
MARTS = Asset("homma://marts")
FILES = Asset("homma://lake/files")

log = logging.getLogger(__name__)


class Failed(AirflowException):
    """A program that ended badly; it may be worth another try."""


def homma(*words: str) -> dict[str, Any]:
    """What a verb of homma says with --json. Raises Failed when it says none."""
    done = subprocess.run([HOMMA, *words, "--json"], capture_output=True, text=True, check=False)
    log.info("%s", done.stdout or done.stderr)
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Failed(_ended(f"homma {words[0]}", done.returncode, done.stderr)) from None
    return said


def dbt(*words: str) -> None:
    """Run dbt over the lake. What failed is named; a test that failed is not tried again."""
    results = Path(os.environ.get("DBT_TARGET_PATH", DBT / "target")) / "run_results.json"
    # Those of an earlier run would tell of other failures.
    results.unlink(missing_ok=True)
    places = {"DBT_PROJECT_DIR": str(DBT), "DBT_PROFILES_DIR": str(DBT)}
    status, text = _told([str(DBT / ".venv" / "bin" / "dbt"), *words], os.environ | places)
    if status == 0:
        return
    failures = _failures(results)
    if not failures:
        raise Failed(_ended(f"dbt {words[0]}", status, text))
    listed = "\n".join(f"  {name}: {message}" for _, name, message in failures)
    error = AirflowFailException if all(kind == "fail" for kind, _, _ in failures) else Failed
    raise error(f"dbt {words[0]}: {len(failures)} went wrong\n{listed}")


def _told(argv: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a program, its lines in the task's log as they come."""
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
    """What did not go well: error or fail, whose, and why."""
    if not results.exists():
        return []
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    return [
        (row["status"], row["unique_id"].split(".")[2], " ".join(str(row["message"]).split()))
        for row in found
        if row["status"] in ("error", "fail")
    ]


def _ended(what: str, status: int, text: str) -> str:
    last = "\n".join(text.strip().splitlines()[-LAST_LINES:])
    return f"{what} ended with status {status}:\n{last}"
