"""Checks whether a port is free, and which program uses it."""

import contextlib
import socket

import psutil

from homma.errors import PortInUse

LOOPBACK = "127.0.0.1"
PROBE_S = 1.0


def must_be_free(port: int, flag: str) -> None:
    """Raise PortInUse unless a server can listen on `port`; `flag` sets another port."""
    if not _is_free(port):
        raise port_in_use(port, flag)


def port_in_use(port: int, flag: str) -> PortInUse:
    """The error for a port that another program uses."""
    holder = _holder(port)
    return PortInUse(
        f"port {port} on {LOOPBACK} is in use{f' by {holder}' if holder else ''}",
        f"stop that program, or choose another port with {flag}",
    )


def listens(pid: int, port: int) -> bool:
    """Whether the process `pid`, and not another one, listens on `port`."""
    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    local = (item.laddr for item in sockets if item.status == psutil.CONN_LISTEN)
    return any(address.port == port for address in local if address)


def _is_free(port: int) -> bool:
    # Some systems allow binding the loopback address while a server listens on all addresses.
    with socket.socket() as probe:
        probe.settimeout(PROBE_S)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        # Servers set this too; without it, connections in TIME_WAIT would count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _holder(port: int) -> str | None:
    """The name of the listening program, if the system reports it."""
    with contextlib.suppress(psutil.Error):
        for item in psutil.net_connections(kind="tcp"):
            address = item.laddr if item.status == psutil.CONN_LISTEN else ()
            if address and address.port == port and item.pid:
                return f"{psutil.Process(item.pid).name()} (pid {item.pid})"
    return None
