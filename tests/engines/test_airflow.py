"""Airflow's DAGs, run by a real Airflow against Kafka, the lake and Trino."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.engines.sandbox import ROOT, Sandbox
from tests.support.landing import tamper, verified
from tests.support.real_ticks import needs_real_ticks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800), needs_real_ticks]
FOLDER = ROOT / "deploy" / "airflow"
NAMES = ("candle_marts", "lake_maintenance", "land_by_trino", "verify_candles")
#: No limit, as the quotes are old.
ALL_TIME = '{"since": ""}'


class Airflow:
    """Airflow with its own database."""

    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        self.environment = {
            **sandbox.environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(FOLDER / "plugins"),
            # Enough for a busy machine.
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home),
            "PATH": f"{FOLDER / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        process = subprocess.run(
            ["airflow", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment | variables,
        )
        print(process.stdout[-4000:], process.stderr[-4000:])
        return process

    def test(self, dag: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("dags", "test", dag, *arguments, **variables)


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    airflow = Airflow(sandbox, tmp_path_factory.mktemp("airflow"))
    assert airflow.run("db", "migrate").returncode == 0
    return airflow


def test_the_documented_airflow_serves_its_page_to_this_machine_only(airflow: Airflow) -> None:
    text = (ROOT / "docs" / "full-stack.md").read_text("utf-8")
    documented = dict(re.findall(r"^\$ export (AIRFLOW__\w+)=(\S+)$", text, re.MULTILINE))
    assert len(documented) == 3
    shown = airflow.run("config", "get-value", "api", "host", **documented)
    assert shown.stdout.splitlines()[-1] == "127.0.0.1"


def output(process: subprocess.CompletedProcess[str]) -> str:
    return process.stdout + process.stderr


def test_only_these_dags_are_found(airflow: Airflow) -> None:
    process = airflow.run("dags", "list", "--local", "--output", "plain")
    dags = {name for name in NAMES if re.search(rf"^{name}\b", process.stdout, re.MULTILINE)}
    assert dags == set(NAMES)
    assert "list-import-errors" not in output(process)


def test_maintenance_keeps_all_rows(airflow: Airflow, sandbox: Sandbox) -> None:
    counts = "SELECT count(*), sum(volume) FROM candle_1min_iceberg"
    before = sandbox.query(counts)
    process = airflow.test("lake_maintenance", "--conf", '{"older_than": "1h"}')
    assert process.returncode == 0, output(process)[-3000:]
    assert sandbox.query(counts) == before


def test_wrong_candles_are_repaired_and_verified_again(airflow: Airflow, sandbox: Sandbox) -> None:
    unchanged = airflow.test("verify_candles", "--conf", ALL_TIME)
    assert unchanged.returncode == 0, output(unchanged)[-3000:]
    assert tamper(sandbox.sinks, "D1", pl.col("volume") > 0, close=pl.col("close") + 1) > 0
    assert verified(sandbox.sinks).wrong > 0
    repaired = airflow.test("verify_candles", "--conf", ALL_TIME)
    assert repaired.returncode == 0, output(repaired)[-3000:]
    sandbox.sinks.work_off()
    assert verified(sandbox.sinks).wrong == 0


def test_the_marts_are_built(airflow: Airflow, sandbox: Sandbox) -> None:
    process = airflow.test("candle_marts")
    assert process.returncode == 0, output(process)[-3000:]
    assert sandbox.query("SELECT count(*) > 0 FROM market_marts.daily_returns") == [(True,)]


def test_trino_lands_candles_if_configured(airflow: Airflow, sandbox: Sandbox) -> None:
    refused = airflow.test("land_by_trino")
    assert refused.returncode == 1
    assert "set HOMMA_CANDLES_BY=trino" in output(refused)
    sinks = replace(sandbox.sinks, namespace="landed_by_airflow")
    sinks.work_off(candles_by="trino")
    by_trino = {"HOMMA_CANDLES_BY": "trino", "KAFKA_CATALOG": "kafka"}
    process = airflow.test("land_by_trino", HOMMA_NAMESPACE="landed_by_airflow", **by_trino)
    assert process.returncode == 0, output(process)[-3000:]
    sinks.check()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("homma('verify', '--from', 'yesterday')", "homma verify ended with status 2:\n"),
        # Both `homma land` and Trino are configured to land candles.
        (
            "dbt('run', '--select', 'land_candle_1min')",
            "dbt run: 1 failed\n  land_candle_1min: ",
        ),
    ],
)
def test_a_failure_has_a_readable_error(airflow: Airflow, call: str, error: str) -> None:
    """Runs the code of a DAG's task without the half minute of starting Airflow."""
    variables = {"HOMMA_CANDLES_BY": "trino", "KAFKA_CATALOG": "kafka"}
    process = subprocess.run(
        [FOLDER / ".venv" / "bin" / "python", "-c", f"from programs import dbt, homma; {call}"],
        capture_output=True,
        text=True,
        check=False,
        env={**airflow.environment, **variables, "PYTHONPATH": str(FOLDER / "plugins")},
    )
    assert process.returncode == 1
    assert f"programs.ProgramError: {error}" in process.stderr
    if call.startswith("dbt"):
        assert "belongs to `homma land`" in process.stderr
