"""`homma up` as a user runs it: started, watched, stopped and started again."""

import signal
import socket
from functools import partial

import httpx
import psutil

from homma.cli.scraping import scrape
from homma.core.calendar import DEFAULT_CALENDAR
from homma.lake.schema import TICKS, TableSpec, candle_tables
from homma.lake.table import Lake
from homma.stack.servers.credentials import read_credentials
from homma.topics.kafka.admin import Admin
from tests.support.machine import Machine
from tests.support.pipeline import until as until_later
from tests.support.waiting import until

MONTHS = "candle_1month"


def test_up_makes_candles_stops_cleanly_and_continues(machine: Machine) -> None:
    process = machine.start("up")
    until(machine.has_flow)
    until(lambda: machine.records(MONTHS) > 0)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in log
    assert machine.processes() == []

    process = machine.start("up")
    until(machine.has_flow)
    before = machine.records(MONTHS)
    assert before > 0
    until(lambda: machine.records(MONTHS) > before)
    page = f"http://127.0.0.1:{machine.page}"
    until(lambda: httpx.get(f"{page}/api/overview").json()["series"])
    assert httpx.get(f"{page}/health/ready").status_code == 200
    names = set(Admin({"bootstrap.servers": machine.bootstrap}).partitions())
    assert {"stock_ticks", "stock_ticks_dead", "stock_ticks_late", "candle_1min"} <= names


def test_ctrl_c_before_all_programs_are_ready_is_answered(machine: Machine) -> None:
    process = machine.start("up")
    until((machine.home / "kafka").exists)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=120)
    stopping, stopped = (
        "stopping before all programs are ready",
        "`homma up` starts again from here",
    )
    assert log.index(stopping) < log.index(stopped)
    # No line is empty but the last, with which click ends a `^C`.
    assert all(log.rstrip("\n").split("\n"))
    # A guard ends a program whose start was interrupted.
    until(lambda: not machine.processes())


def test_no_process_remains_when_up_is_killed(machine: Machine) -> None:
    process = machine.start("up")
    until(machine.has_flow)
    # homma up, and six programs with a guard each.
    assert len(machine.processes()) == 13
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not machine.processes())


def test_a_crashed_stage_is_restarted_and_shown(machine: Machine) -> None:
    machine.start("up")
    until(machine.has_flow)
    psutil.Process(machine.stages()["aggregate"]["pid"]).kill()

    def restarted() -> bool:
        stage = machine.stages()["aggregate"]
        return bool(stage["restarts"] == 1 and stage["state"] == "running")

    until(restarted)
    until(machine.has_flow)


def test_all_tables_of_the_lake_get_rows(machine: Machine) -> None:
    machine.start("up")
    until(machine.has_flow)
    login = read_credentials(machine.home)
    assert login is not None
    lake = Lake(
        {
            "uri": f"http://127.0.0.1:{machine.ports.catalog}",
            "warehouse": "s3://lake",
            "credential": f"{login.access_key}:{login.secret_key}",
            "s3.endpoint": f"http://127.0.0.1:{machine.ports.s3}",
            "s3.access-key-id": login.access_key,
            "s3.secret-access-key": login.secret_key,
            "s3.region": "us-east-1",
        },
        "market_data",
    )

    def rows(spec: TableSpec) -> int:
        return lake.table(spec).scan().height if lake.has_table(spec) else 0

    for spec in (TICKS, *candle_tables(DEFAULT_CALENDAR)):
        until(partial(rows, spec))
    lake.close()


def test_up_runs_in_the_background_until_down(machine: Machine) -> None:
    started = machine.homma("up", "--detach")
    assert started.returncode == 0, started.stderr
    assert "homma status" in started.stdout
    assert machine.stages()["seaweed"]["ports"] == machine.ports.all()
    status = machine.homma("status").stdout
    assert f"S3 on port {machine.ports.s3}" in status
    second = machine.homma("up")
    assert second.returncode == 1
    assert "homma down" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    stopped = machine.homma("down")
    assert stopped.returncode == 0
    assert "stopped process" in stopped.stdout
    assert machine.processes() == []
    assert machine.homma("status").returncode == 1
    assert "nothing runs" in machine.homma("down").stdout


def test_other_prices_are_refused_and_not_remembered(machine: Machine) -> None:
    """The last start is continued, also if one in between was refused."""
    assert machine.homma("up", "--detach").returncode == 0
    until(machine.has_flow)
    until(lambda: machine.records(MONTHS) > 0)
    machine.homma("down")
    for flags, name, former in (
        (("--price", "bid"), "price", "mid"),
        (("--price", "trade", "--kind", "both"), "price", "mid"),
        (("--prices", "any"), "prices", "positive"),
    ):
        refused = machine.homma("up", "--detach", *flags)
        assert refused.returncode == 1
        assert f"built with --{name} {former}, but --{name} is" in refused.stderr
        assert machine.processes() == []
    assert machine.homma("up", "--detach").returncode == 0
    until(machine.has_flow)
    assert machine.stages()["aggregate"]["restarts"] == 0
    machine.homma("down")


def test_a_folder_of_real_ticks_stays_without_a_generator(machine: Machine) -> None:
    assert machine.homma("up", "--detach", "--no-generate").returncode == 0
    machine.homma("down")
    assert machine.homma("up", "--detach").returncode == 0
    assert "generate" not in machine.stages()
    assert "HOMMA_NO_GENERATE=false generates them again" in (machine.home / "up.log").read_text()
    machine.homma("down")
    machine.env["HOMMA_NO_GENERATE"] = "false"
    assert machine.homma("up", "--detach").returncode == 0
    assert "generate" in machine.stages()
    machine.homma("down")


def test_the_error_for_a_port_in_use_names_its_flag(machine: Machine, bootstrap: str) -> None:
    port = bootstrap.rsplit(":", 1)[1]
    refused = machine.homma("up", "--kafka-port", port)
    assert refused.returncode == 1
    assert port in refused.stderr
    assert "--kafka-port" in refused.stderr


def test_a_port_of_the_lake_in_use_is_reported_before_anything_starts(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.ports.all()["filer gRPC"])):
        refused = machine.homma("up")
    assert refused.returncode == 1
    assert "--seaweed-port" in refused.stderr
    assert "starting" not in refused.stderr


def test_up_without_the_lake(machine: Machine) -> None:
    process = machine.start("up", "--no-lake")
    until(machine.has_flow)
    assert set(machine.stages()) == {"kafka", "aggregate", "serve", "generate"}
    assert not (machine.home / "seaweed").exists()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_up_verifies_its_candles_from_time_to_time(machine: Machine) -> None:
    machine.env["HOMMA_VERIFY_EVERY"] = "2s"
    started = machine.homma("up", "--detach")
    assert started.returncode == 0, started.stderr

    def verified() -> bool:
        metrics = scrape(machine.verifier) or {}
        assert metrics.get("homma_candles_wrong", 0) == 0
        return metrics.get("homma_ticks_compared", 0) > 0

    # The verifier gets the CPU last.
    until_later(verified, 150)
    row = machine.stages()["verify"]
    assert row["state"] == "running"
    assert psutil.Process(row["pid"]).nice() == 10
    assert "no candle is wrong, verified" in " ".join(machine.homma("status").stdout.split())
    assert machine.homma("down").returncode == 0
    assert machine.processes() == []
    assert "Traceback" not in (machine.home / "verify.log").read_text()
