"""The HTTP server: limits on connections, and a shutdown that waits for no client."""

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
from homma.serve.streams import ABORT

#: A connection without a complete request in this time is closed.
_REQUEST_TIMEOUT_S: Final = 10.0
_MAX_HEAD_BYTES: Final = 32_768
_STOP_TIMEOUT_S: Final = 5
#: Open files other than connections.
_OTHER_FILES: Final = 256
#: The send buffer of a connection. The system's default is megabytes, and a slow client would have
#: to read all those old candles before it gets a current one.
_SEND_BUFFER_BYTES: Final = 128 * 1024


def listen(host: str, port: int, stream_timeout_ms: int) -> socket.socket:
    """Open a listening socket. Raises SettingError for a bad host, PortInUse for a taken port."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise SettingError(
            f"serve_host {host} is not a valid address ({error.strerror})",
            "set --serve-host to an address of this machine",
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # The system drops a client that acknowledges nothing for this long. Without it, a
        # connection to such a client could not be closed, as unsent data precedes the close.
        # Twice the stream timeout, so that streams end first: they count disconnected clients.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * stream_timeout_ms)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"cannot listen on {host}:{port} ({error.strerror})",
            "stop the program that uses the port, or choose another port with --serve-port",
        ) from error
    listener.setblocking(False)
    return listener


def allow_files(connections: int) -> None:
    """Raise this process's limit on open files so that `connections` can be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class ClientConnection(H11Protocol):
    """One connection; closed if there are too many, or if it sends no complete request in time."""

    max_connections = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = self._with_abort(self.app)
        self._timer: asyncio.TimerHandle | None = None

    def _with_abort(self, app: Any) -> Any:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, ABORT: self.transport.abort}, receive, send)

        return call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or abort it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        else:
            self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Read data; the timer runs until a request is complete."""
        super().data_received(data)
        if self._is_idle():
            self._start_timer()
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_REQUEST_TIMEOUT_S, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if self._is_idle():
            self.transport.abort()


class _Server(uvicorn.Server):
    """Leaves signals to the command line: polls `is_stopped`, ends streams, then connections."""

    def __init__(
        self, config: uvicorn.Config, is_stopped: Callable[[], bool], on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._is_stopped = is_stopped
        self._on_stop = on_stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to exit; called ten times per second."""
        if not self.should_exit and self._is_stopped():
            self._on_stop()
            self.should_exit = True
        return await super().on_tick(counter)


def run(
    app: ASGIApp,
    listener: socket.socket,
    max_connections: int,
    is_stopped: Callable[[], bool],
    on_stop: Callable[[], None],
) -> None:
    """Serve until `is_stopped`, then call `on_stop`, which has to end the endless streams."""
    config = uvicorn.Config(
        app,
        http=type("Limited", (ClientConnection,), {"max_connections": max_connections}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
    )
    asyncio.run(_Server(config, is_stopped, on_stop).serve([listener]))
