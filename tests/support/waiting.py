"""Helpers that wait for a condition, and find free ports."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from homma.stack.servers.seaweed_settings import Ports

T = TypeVar("T")
# Far longer than anything here takes: reached only if the condition never becomes true.
NEVER_S = 180.0


def until(condition: Callable[[], T]) -> T:
    """Poll until the condition is truthy; return its value."""
    deadline = time.monotonic() + NEVER_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.02)
    return value


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, below the system's ephemeral range.

    A port of that range may be given to another program before the server listens on it, because
    servers take up to a minute to start.
    """
    for _ in range(1000):
        ports = random.sample(range(4_000, 12_000), count)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in ports:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
    raise AssertionError("no ports are free")


def ports_in_a_row(count: int) -> int:
    """Return the first of consecutive free ports, below the system's ephemeral range."""
    for _ in range(1000):
        first = random.randrange(12_000, 22_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no ports are free")


def seaweed_ports() -> Ports:
    """Return free ports for SeaweedFS, the internal ones below the ephemeral range."""
    s3, catalog = free_ports(2)
    for _ in range(1000):
        ports = Ports(s3, catalog, 10 * random.randrange(1_200, 2_200))
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in set(ports.all().values()) - {s3, catalog}:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
    raise AssertionError("no ports are free")
