"""Trino's settings and words; the server itself is started by `make test-stack`."""

import re
from pathlib import Path

import pytest

from homma.errors import PortInUse
from homma.stack import trino
from tests.stack.waiting import free_ports

ASKED = re.compile(r"\$\{ENV:(\w+)\}")
CATALOG = {
    "uri": "http://127.0.0.1:1",
    "warehouse": "s3://lake",
    "s3.endpoint": "http://127.0.0.1:2",
    "s3.region": "r",
    "s3.access-key-id": "key",
    "s3.secret-access-key": "xyzzy",
}


def node(folder: Path, port: int) -> trino.Node:
    told = trino.lake_environment(CATALOG) | {"HOMMA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    return trino.Node(folder, port, folder / "server", trino.settings_folder(), told)


def test_all_that_the_settings_ask_for_is_told(tmp_path: Path) -> None:
    texts = [path.read_text("utf-8") for path in trino.settings_folder().rglob("*.properties")]
    asked = {name for text in texts for name in ASKED.findall(text)}
    assert asked
    assert asked <= set(trino._environment(node(tmp_path, 1)))


def test_it_is_told_to_be_reached_from_here_alone(tmp_path: Path) -> None:
    told = trino._environment(node(tmp_path, 4321))
    assert (told["TRINO_BIND_IP"], told["TRINO_PORT"]) == ("127.0.0.1", "4321")
    text = (trino.settings_folder() / "config.properties").read_text("utf-8")
    assert "node.bind-ip=${ENV:TRINO_BIND_IP}" in text
    assert "sql.forced-session-time-zone=UTC" in text


def test_the_secret_is_in_no_command_line_and_no_error(tmp_path: Path) -> None:
    one = node(tmp_path, 1)
    assert "xyzzy" not in " ".join(trino._command(one))
    assert "xyzzy" not in repr(one)


def test_a_jvm_config_is_read_as_its_launcher_reads_it() -> None:
    assert trino.jvm_options("-server\n\n# why\n -Xmx2G \n") == ["-server", "-Xmx2G"]


@pytest.mark.parametrize(
    ("said", "why"),
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
def test_it_is_told_why_trino_ended(said: list[str], why: str) -> None:
    assert trino.explain(said) == why


def test_a_taken_port_is_named_with_its_flag(tmp_path: Path, bootstrap: str) -> None:
    port = int(bootstrap.rsplit(":", 1)[1])
    with pytest.raises(PortInUse, match="--trino-port"):
        trino.start(node(tmp_path, port))


def test_nobody_there_is_no_trino() -> None:
    assert not trino.started(free_ports(1)[0])
