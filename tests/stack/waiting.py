"""Waiting for what must happen, without saying how fast."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

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
