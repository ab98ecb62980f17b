"""Whether a port is free, and who has it."""

import contextlib
import socket

import psutil

from homma.errors import PortInUse

LOOPBACK = "127.0.0.1"
PROBE_S = 1.0


def must_be_free(port: int, flag: str) -> None:
    """Raise PortInUse, naming `flag` as what moves it, unless a server can listen on `port`."""
    if not _is_free(port):
        raise in_use(port, flag)


def in_use(port: int, flag: str) -> PortInUse:
    """Make the error for a port that another program has."""
    holder = _holder(port)
    return PortInUse(
        f"port {port} on {LOOPBACK} is in use{f' by {holder}' if holder else ''}",
        f"stop that program, or choose another port with {flag}",
    )


def listens(pid: int, port: int) -> bool:
    """Whether this very process listens on `port`: another one might have been faster."""
    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    local = (one.laddr for one in sockets if one.status == psutil.CONN_LISTEN)
    return any(address.port == port for address in local if address)


def _is_free(port: int) -> bool:
    # Some systems let a server bind the loopback address beside one that has them all.
    with socket.socket() as probe:
        probe.settimeout(PROBE_S)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        # As servers do; without it connections that are just ending would count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _holder(port: int) -> str | None:
    """Name the program that listens, where the system tells."""
    with contextlib.suppress(psutil.Error):
        for one in psutil.net_connections(kind="tcp"):
            address = one.laddr if one.status == psutil.CONN_LISTEN else ()
            if address and address.port == port and one.pid:
                return f"{psutil.Process(one.pid).name()} (pid {one.pid})"
    return None
