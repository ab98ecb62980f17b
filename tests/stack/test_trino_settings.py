"""Trino's settings and messages; `make test-stack` starts the server itself."""

import re
from collections.abc import Container
from pathlib import Path

import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.errors import PortInUse, ServerFailed
from homma.stack.servers import statements, trino
from tests.support.waiting import free_ports

VARIABLE = re.compile(r"\$\{ENV:(\w+)\}")
CATALOG = {
    "uri": "http://127.0.0.1:1",
    "warehouse": "s3://lake",
    "s3.endpoint": "http://127.0.0.1:2",
    "s3.region": "r",
    "s3.access-key-id": "key",
    "s3.secret-access-key": "xyzzy",
}


def node(folder: Path, port: int) -> trino.Node:
    environment = trino.lake_environment(CATALOG) | {"HOMMA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    return trino.Node(folder, port, folder / "server", trino.settings_folder(), environment)


def test_every_variable_of_the_settings_is_set(tmp_path: Path) -> None:
    texts = [path.read_text("utf-8") for path in trino.settings_folder().rglob("*.properties")]
    names = {name for text in texts for name in VARIABLE.findall(text)}
    assert names
    assert names <= set(trino._environment(node(tmp_path, 1)))


def test_it_listens_on_the_loopback_address_only(tmp_path: Path) -> None:
    environment = trino._environment(node(tmp_path, 4321))
    assert (environment["TRINO_BIND_IP"], environment["TRINO_PORT"]) == ("127.0.0.1", "4321")
    text = (trino.settings_folder() / "config.properties").read_text("utf-8")
    assert "node.bind-ip=${ENV:TRINO_BIND_IP}" in text
    assert "sql.forced-session-time-zone=UTC" in text


def test_the_secret_is_not_in_the_command_line_or_repr(tmp_path: Path) -> None:
    trino_node = node(tmp_path, 1)
    assert "xyzzy" not in " ".join(trino._command(trino_node))
    assert "xyzzy" not in repr(trino_node)


def test_a_jvm_config_is_parsed_as_by_the_launcher() -> None:
    assert trino.jvm_options("-server\n\n# why\n -Xmx2G \n") == ["-server", "-Xmx2G"]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (
            ["Errors:", "1) Error: Configuration property 'x' was not used", "2) Error: other"],
            "Configuration property 'x' was not used",
        ),
        (
            ["2026-11-26T19:02:08Z\tERROR\tmain\tio.trino.server.Server\tNo room", "stopping"],
            "No room",
        ),
        (["something else", "at last"], "at last"),
    ],
)
def test_the_line_that_says_why(lines: list[str], why: str) -> None:
    assert trino.explain(lines) == why


def test_a_port_in_use_is_reported_with_its_flag(tmp_path: Path, bootstrap: str) -> None:
    port = int(bootstrap.rsplit(":", 1)[1])
    with pytest.raises(PortInUse, match="--trino-port"):
        trino.start(node(tmp_path, port))


def test_a_free_port_has_no_trino() -> None:
    assert not trino.is_started(free_ports(1)[0])


def test_views_of_the_lake_wait_for_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = iter([True, False, False])
    run: list[str] = []

    def execute(port: int, sql: str, expected: Container[str]) -> bool:
        assert "TABLE_NOT_FOUND" in expected
        run.append(sql)
        return next(succeed, True)

    monkeypatch.setattr(statements, "execute", execute)
    monkeypatch.setattr(trino, "_RETRY_S", 0.0)
    assert trino.create_lake_views(node(tmp_path, 1))
    # The first view was tried three times.
    assert run[1] == run[2] == run[3] != run[4]
    assert len(run) == 1 + 2 + len(DEFAULT_CALENDAR.intervals)
    monkeypatch.setattr(statements, "execute", lambda *_, **__: False)
    assert not trino.create_lake_views(node(tmp_path, 1), within_s=0.0)


def test_only_expected_errors_of_a_statement_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"errorName": "TABLE_NOT_FOUND", "message": "Table 'a.b' does not exist"}
    monkeypatch.setattr(statements, "_request", lambda *_: {"error": error})
    assert not statements.execute(1, "SELECT 1", expected=("TABLE_NOT_FOUND",))
    with pytest.raises(ServerFailed, match="does not exist"):
        statements.execute(1, "SELECT 1", expected=("SYNTAX_ERROR",))
