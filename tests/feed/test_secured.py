"""A cluster that requires a login: a real broker with a SASL listener."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from homma.topics.kafka.reading import Reader
from tests.support.second_listener import Listener, listening
from tests.support.waiting import free_ports

PASSWORD = "a-secret-of-this-test"
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required"
    f' username="admin" password="x" user_feed="{PASSWORD}";'
)


@dataclass(frozen=True)
class Secured:
    """The addresses of the open and the secured port of one broker."""

    bootstrap: str
    secured: str


@pytest.fixture(scope="module")
def broker(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    [port] = free_ports(1)
    listener = Listener("SASL_PLAINTEXT", "SASL_PLAINTEXT", port, advertised=port)
    login = f"listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN}"
    folder = tmp_path_factory.mktemp("secured")
    with listening(folder, jars, listener, "sasl.enabled.mechanisms=PLAIN", login) as bootstrap:
        yield Secured(bootstrap, f"127.0.0.1:{port}")


def generate(broker: Secured, password: str) -> subprocess.CompletedProcess[str]:
    arguments = [
        "generate",
        "--bootstrap.servers",
        broker.secured,
        "--topic",
        "secured_ticks",
        "--security.protocol",
        "SASL_PLAINTEXT",
        "--rate",
        "0",
        "--limit",
        "500",
    ]
    login = {"KAFKA_SASL_USERNAME": "feed", "KAFKA_SASL_PASSWORD": password}
    return subprocess.run(
        [sys.executable, "-m", "homma", *arguments],
        env=os.environ | login,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_login_from_the_environment_is_used(broker: Secured) -> None:
    result = generate(broker, PASSWORD)
    assert result.returncode == 0, result.stderr
    assert "sent 500 ticks" in result.stderr
    assert PASSWORD not in result.stdout + result.stderr
    reader = Reader({"bootstrap.servers": broker.bootstrap})
    partitions = range(reader.partitions("secured_ticks"))
    assert sum(reader.offset_range("secured_ticks", p).end for p in partitions) == 500
    reader.close()


def test_the_error_for_a_wrong_password_does_not_show_the_password(broker: Secured) -> None:
    result = generate(broker, "wrong-secret")
    assert result.returncode == 1
    assert "KAFKA_SASL_PASSWORD" in result.stderr
    assert "wrong-secret" not in result.stdout + result.stderr
