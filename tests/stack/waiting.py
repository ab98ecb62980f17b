"""Waiting for what must happen, without saying how fast."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from homma.stack.seaweed_settings import Ports

T = TypeVar("T")
# Far beyond what anything here takes: reached only when it never happens.
NEVER_S = 60.0


def until(look: Callable[[], T]) -> T:
    """Look again and again until there is something to see."""
    deadline = time.monotonic() + NEVER_S
    while not (seen := look()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return seen


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def seaweed_ports() -> Ports:
    """Give ports for a SeaweedFS, those between its parts below what the system hands out."""
    s3, catalog = free_ports(2)
    for _ in range(1000):
        ports = Ports(s3, catalog, 10 * random.randrange(1_200, 2_200))
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in set(ports.all().values()) - {s3, catalog}:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
    raise AssertionError("no ports are free")
