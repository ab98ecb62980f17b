"""Airflow's DAGs, run by a real Airflow against Kafka, the lake and Trino."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.engines.sandbox import ROOT, Sandbox
from tests.lake.checking import tamper, verified
from tests.real_ticks import needs_real_ticks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800), needs_real_ticks]
FOLDER = ROOT / "deploy" / "airflow"
NAMES = ("candle_marts", "lake_maintenance", "land_by_trino", "verify_candles")
#: Of the quotes, which are old.
ALL = '{"since": ""}'


class Airflow:
    """Airflow with a database of its own."""

    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        self.environment = {
            **sandbox.environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(FOLDER / "plugins"),
            # A machine that is busy is no reason not to find them.
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home),
            "PATH": f"{FOLDER / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["airflow", *words],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment | more,
        )
        print(done.stdout[-4000:], done.stderr[-4000:])
        return done

    def test(self, dag: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("dags", "test", dag, *words, **more)


@pytest.fixture(scope="module")
def airflow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    made = Airflow(sandbox, tmp_path_factory.mktemp("airflow"))
    assert made.run("db", "migrate").returncode == 0
    return made


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_the_dags_are_found_and_nothing_else(airflow: Airflow) -> None:
    done = airflow.run("dags", "list", "--local", "--output", "plain")
    found = {name for name in NAMES if re.search(rf"^{name}\b", done.stdout, re.MULTILINE)}
    assert found == set(NAMES)
    assert "list-import-errors" not in said(done)


def test_the_lake_is_kept_small(airflow: Airflow, sandbox: Sandbox) -> None:
    counts = "SELECT count(*), sum(volume) FROM candle_1min_iceberg"
    before = sandbox.query(counts)
    done = airflow.test("lake_maintenance", "--conf", '{"older_than": "1h"}')
    assert done.returncode == 0, said(done)[-3000:]
    assert sandbox.query(counts) == before


def test_what_is_wrong_is_found_repaired_and_looked_at_again(
    airflow: Airflow, sandbox: Sandbox
) -> None:
    right = airflow.test("verify_candles", "--conf", ALL)
    assert right.returncode == 0, said(right)[-3000:]
    assert tamper(sandbox.sinks, 8, pl.col("volume") > 0, close=pl.col("close") + 1) > 0
    assert verified(sandbox.sinks).wrong > 0
    mended = airflow.test("verify_candles", "--conf", ALL)
    assert mended.returncode == 0, said(mended)[-3000:]
    sandbox.sinks.work_off()
    assert verified(sandbox.sinks).wrong == 0


def test_the_marts_are_built(airflow: Airflow, sandbox: Sandbox) -> None:
    done = airflow.test("candle_marts")
    assert done.returncode == 0, said(done)[-3000:]
    assert sandbox.query("SELECT count(*) > 0 FROM market_marts.daily_returns") == [(True,)]


def test_trino_lands_where_it_is_chosen(airflow: Airflow, sandbox: Sandbox) -> None:
    refused = airflow.test("land_by_trino")
    assert refused.returncode == 1
    assert "set HOMMA_CANDLES_BY=trino" in said(refused)
    sinks = replace(sandbox.sinks, namespace="landed_by_airflow")
    sinks.work_off(candles_by="trino")
    chosen = {"HOMMA_CANDLES_BY": "trino", "KAFKA_CATALOG": "kafka"}
    done = airflow.test("land_by_trino", HOMMA_NAMESPACE="landed_by_airflow", **chosen)
    assert done.returncode == 0, said(done)[-3000:]
    sinks.check()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("homma('verify', '--from', 'yesterday')", "homma verify ended with status 2:\n"),
        # Both are to land candles.
        (
            "dbt('run', '--select', 'land_candle_1min')",
            "dbt run: 1 went wrong\n  land_candle_1min: ",
        ),
    ],
)
def test_a_failure_can_be_read(airflow: Airflow, call: str, told: str) -> None:
    """What a task of the DAGs does, without the half minute that Airflow takes to begin."""
    both = {"HOMMA_CANDLES_BY": "trino", "KAFKA_CATALOG": "kafka"}
    done = subprocess.run(
        [FOLDER / ".venv" / "bin" / "python", "-c", f"from programs import dbt, homma; {call}"],
        capture_output=True,
        text=True,
        check=False,
        env={**airflow.environment, **both, "PYTHONPATH": str(FOLDER / "plugins")},
    )
    assert done.returncode == 1
    assert f"programs.Failed: {told}" in done.stderr
    if call.startswith("dbt"):
        assert "belongs to a `homma land`" in done.stderr
