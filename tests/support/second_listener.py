"""A broker with a second listener that has its own protocol and advertised port."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from homma.cli.local import is_reachable
from homma.stack.servers import kafka, kafka_settings
from tests.support.waiting import free_ports


@dataclass(frozen=True)
class Listener:
    """A port of a broker; its clients are directed to the port `advertised`."""

    name: str
    protocol: str
    port: int
    advertised: int


@contextmanager
def listening(folder: Path, jars: list[Path], second: Listener, *extra_lines: str) -> Iterator[str]:
    """The address of the first listener; `extra_lines` are added to server.properties."""
    port, controller_port = free_ports(2)
    plain = kafka_settings.server_properties
    additions = {
        "listeners": f",{second.name}://127.0.0.1:{second.port}",
        "advertised.listeners": f",{second.name}://127.0.0.1:{second.advertised}",
        "listener.security.protocol.map": f",{second.name}:{second.protocol}",
    }

    def with_second(data: Path, port: int, controller_port: int) -> str:
        lines = plain(data, port, controller_port).splitlines()
        extended = [line + additions.get(line.split("=")[0], "") for line in lines]
        return "\n".join([*extended, *extra_lines]) + "\n"

    address = f"127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "server_properties", with_second)
        with kafka.running(folder, port, controller_port, jars, lambda: is_reachable(address)):
            yield address
