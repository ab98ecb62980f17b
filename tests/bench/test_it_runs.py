"""Every benchmark runs with small sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import ports_in_a_row

ROOT = Path(__file__).parents[2]
SMALL_FLAGS = {
    "end_to_end": "--ticks 20000 --series 10 --hours 0.1 --only homma --only kcat",
    "engines": "--ticks 20000 --series 10 --only homma --rate 200 --seconds 3 --warm-up 1",
    "latency": "--rate 200 --series 10 --emit-every 100ms --seconds 3 --warm-up 1",
    "reading": "--rows 150000 --times 1",
    "backfill": "--ticks 200000",
    "ingest": "--ticks 20000 --rounds 1",
    "landing": "--ticks 20000 --commits 12 --rounds 2",
    "serving": "--candles 10000 --starts 1 --series 10 --clients 20 --updates 100 --seconds 1",
    "steps": "--series 10 --seconds 0 --thin 1000",
    "panels": "--rows 600000 --times 1",
}
#: The servers of each benchmark, as port flag and number of consecutive ports.
KAFKA, STORAGE = ("--port", 2), ("--storage-port", 10)
TRINO = ("--trino-port", 1)
SERVERS = {
    "steps": [],
    "reading": [STORAGE],
    "backfill": [STORAGE],
    "landing": [KAFKA, STORAGE],
    "panels": [STORAGE, TRINO],
}
#: Runs with the other tests that need Trino.
NEEDS_TRINO = pytest.param("panels", marks=[pytest.mark.stack, pytest.mark.timeout(900)])


@pytest.mark.parametrize("name", [*(n for n in SMALL_FLAGS if n != "panels"), NEEDS_TRINO])
def test_it_prints_markdown(name: str) -> None:
    servers = SERVERS.get(name, [KAFKA])
    port = [word for flag, count in servers for word in (flag, str(ports_in_a_row(count)))]
    process = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--markdown", *SMALL_FLAGS[name].split(), *port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    head, rule, *rows = [line for line in process.stdout.splitlines() if line.startswith("|")]
    assert rows
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
