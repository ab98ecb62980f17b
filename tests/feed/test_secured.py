"""A cluster that wants a login: a real broker with a SASL listener."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from homma.cli.local import answers
from homma.stack import kafka, kafka_settings
from homma.topics.kafka.reading import Reader
from tests.stack.waiting import free_ports

PASSWORD = "a-secret-of-this-test"
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required"
    f' username="admin" password="x" user_feed="{PASSWORD}";'
)


@dataclass(frozen=True)
class Secured:
    """The same broker by its open and by its secured port."""

    bootstrap: str
    secured: str


@pytest.fixture(scope="module")
def broker(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    port, controller_port, secured_port = free_ports(3)
    listener = f"SASL_PLAINTEXT://127.0.0.1:{secured_port}"
    plain = kafka_settings.server_properties

    def with_login(data: Path, port: int, controller_port: int) -> str:
        lines = plain(data, port, controller_port).splitlines()
        more = {
            "listeners": f",{listener}",
            "advertised.listeners": f",{listener}",
            "listener.security.protocol.map": ",SASL_PLAINTEXT:SASL_PLAINTEXT",
        }
        told = [line + more.get(line.split("=")[0], "") for line in lines]
        told.append("sasl.enabled.mechanisms=PLAIN")
        told.append(f"listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN}")
        return "\n".join(told) + "\n"

    bootstrap = f"127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "server_properties", with_login)
        folder = tmp_path_factory.mktemp("secured")
        with kafka.running(folder, port, controller_port, jars, lambda: answers(bootstrap)):
            yield Secured(bootstrap, f"127.0.0.1:{secured_port}")


def generate(broker: Secured, password: str) -> subprocess.CompletedProcess[str]:
    words = ["generate", "--bootstrap.servers", broker.secured, "--topic", "secured_ticks",
             "--security.protocol", "SASL_PLAINTEXT", "--rate", "0", "--limit", "500"]  # fmt: skip
    login = {"KAFKA_SASL_USERNAME": "feed", "KAFKA_SASL_PASSWORD": password}
    return subprocess.run(
        [sys.executable, "-m", "homma", *words], env=os.environ | login,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_a_login_from_the_environment_is_taken(broker: Secured) -> None:
    done = generate(broker, PASSWORD)
    assert done.returncode == 0, done.stderr
    assert "sent 500 ticks" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    reader = Reader({"bootstrap.servers": broker.bootstrap})
    partitions = range(reader.partitions("secured_ticks"))
    assert sum(reader.kept("secured_ticks", p).end for p in partitions) == 500
    reader.close()


def test_a_wrong_password_is_told_without_being_shown(broker: Secured) -> None:
    done = generate(broker, "wrong-secret")
    assert done.returncode == 1
    assert "KAFKA_SASL_PASSWORD" in done.stderr
    assert "wrong-secret" not in done.stdout + done.stderr
