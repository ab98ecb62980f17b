"""Every measurement, in miniature: what the README says can be run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.waiting import free_ports

ROOT = Path(__file__).parents[2]
MINIATURES = {
    "end_to_end": "--ticks 20000 --series 10 --hours 0.1 --only homma --only kcat",
    "latency": "--rate 200 --series 10 --emit-every 100ms --seconds 3 --warm-up 1",
    "reading": "--rows 150000 --times 1",
    "backfill": "--ticks 200000",
    "steps": "--series 10 --seconds 0 --thin 1000",
}


@pytest.mark.parametrize("what", MINIATURES)
def test_it_prints_markdown(what: str) -> None:
    flag = {"steps": None, "reading": "--storage-port", "backfill": "--storage-port"}
    port = [f, str(free_ports(1)[0])] if (f := flag.get(what, "--port")) else []
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{what}", "--markdown", *MINIATURES[what].split(), *port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head, rule, *rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert rows
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
