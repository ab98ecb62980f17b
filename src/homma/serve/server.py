"""The HTTP server: limits on connections, and an end that waits for nobody."""

import asyncio
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from homma.errors import PortInUse, SettingError
from homma.serve.streams import CUT

#: Whoever has not asked anything by then is no client.
_REQUEST_WITHIN_S: Final = 10.0
_HEAD_BYTES: Final = 32_768
_STOP_WITHIN_S: Final = 5
#: Files that are open beside the connections.
_OTHER_FILES: Final = 256
#: So much the system holds of what a client has not taken; by itself it would hold megabytes, all
#: of them older than what a slow client gets once they are gone.
_WAITING_BYTES: Final = 128 * 1024


def listen(host: str, port: int, stream_timeout_ms: int) -> socket.socket:
    """A socket that listens there."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
    except OSError as error:
        raise SettingError(
            f"serve_host {host} is no address ({error.strerror})", "name another"
        ) from error
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITING_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Who takes nothing for so long is gone, whatever its machine says: ends what is being
        # closed and cannot be, as nobody reads what stands before the end. Streams come first,
        # which count whom they cut off.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * stream_timeout_ms)
    try:
        found.bind(address)
        found.listen(1024)
    except OSError as error:
        found.close()
        raise PortInUse(
            f"{host}:{port} cannot be listened on ({error.strerror})",
            "end the program that does, or take another port with --serve-port",
        ) from error
    found.setblocking(False)
    return found


def allow_files(connections: int) -> None:
    """Have the system allow as many open files as there may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Connection(H11Protocol):
    """One client. One too many is closed at once, as is one that asks nothing."""

    most = 1

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.app = self._cuttable(self.app)
        self._due: asyncio.TimerHandle | None = None

    def _cuttable(self, app: Any) -> Any:
        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, CUT: self.transport.abort}, receive, send)

        return asked

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, or not."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; a request has to come whole within a time."""
        super().data_received(data)
        if self._idle():
            self._wait()
        else:
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(_REQUEST_WITHIN_S, self._too_late)

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _too_late(self) -> None:
        self._due = None
        if self._idle():
            self.transport.abort()


class _Server(uvicorn.Server):
    """Signals are the command line's: it asks `stopped`, and ends streams before connections."""

    def __init__(
        self, config: uvicorn.Config, stopped: Callable[[], bool], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._stopped = stopped
        self._ending = ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; asked ten times a second."""
        if not self.should_exit and self._stopped():
            self._ending()
            self.should_exit = True
        return await super().on_tick(counter)


def run(
    app: ASGIApp,
    listener: socket.socket,
    most: int,
    stopped: Callable[[], bool],
    ending: Callable[[], None],
) -> None:
    """Serve until `stopped`; `ending` is called then, and has to end what would go on for ever."""
    config = uvicorn.Config(
        app,
        http=type("Limited", (Connection,), {"most": most}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )
    asyncio.run(_Server(config, stopped, ending).serve([listener]))
