"""A TCP proxy that can inject faults into a connection with Kafka.

`Proxy` forwards the messages of both ends; a `Connection` splits the bytes of one connection into
messages and decides what happens to each. `KafkaConnection` uses Kafka's frames: a length, then
for a request its api, version, correlation id and client id, for an answer only the correlation
id.
"""

import contextlib
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from io import BufferedReader
from typing import Protocol

# Longer than the timeout of any client.
MAX_HOLD_S = 120.0


class Side(Enum):
    """The direction of a message."""

    REQUEST = auto()
    ANSWER = auto()


class Disconnect(Exception):
    """Close the connection here, after `forwarded` has been forwarded."""

    def __init__(self, forwarded: bytes = b"") -> None:
        super().__init__()
        self.forwarded = forwarded


class ReplaceAnswer(Exception):
    """Do not forward a request; send this answer instead."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


class Connection(Protocol):
    """One connection of a protocol."""

    def read_message(self, stream: BufferedReader) -> bytes:
        """Read a message that is forwarded as a whole or not at all; empty at the end."""

    def should_forward(self, side: Side, message: bytes) -> bool:
        """Whether to forward it; may block, or raise Disconnect or ReplaceAnswer."""


class RawConnection:
    """Any protocol: bytes as they arrive."""

    def read_message(self, stream: BufferedReader) -> bytes:
        return stream.read1(65_536)

    def should_forward(self, side: Side, message: bytes) -> bool:
        del side, message
        return True


class Proxy:
    """Listens on its own port, and forwards the messages of its connections."""

    def __init__(self, connect: Callable[[], Connection] = RawConnection) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @contextmanager
    def to(self, port: int) -> Iterator[None]:
        """Forward to a port during a with block."""
        accepting = threading.Thread(target=self._accept, args=(port,))
        accepting.start()
        try:
            yield
        finally:
            _close(self._listener)
            accepting.join()
            for sock in self._sockets:
                _close(sock)
            for thread in self._threads:
                thread.join()

    def _accept(self, port: int) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                _close(client)
                continue
            connection = self._connect()
            self._sockets += [client, server]
            for side, source, sink in (
                (Side.REQUEST, client, server),
                (Side.ANSWER, server, client),
            ):
                thread = threading.Thread(
                    target=self._forward, args=(connection, side, source, sink)
                )
                self._threads.append(thread)
                thread.start()

    def _forward(
        self, connection: Connection, side: Side, source: socket.socket, sink: socket.socket
    ) -> None:
        try:
            with source.makefile("rb") as stream:
                while message := connection.read_message(stream):
                    try:
                        if connection.should_forward(side, message):
                            sink.sendall(message)
                    except ReplaceAnswer as replacement:
                        source.sendall(replacement.answer)
            # The other direction may still be in use.
            sink.shutdown(socket.SHUT_WR)
        except (OSError, Disconnect) as end:
            if isinstance(end, Disconnect) and end.forwarded:
                with contextlib.suppress(OSError):
                    sink.sendall(end.forwarded)
            _close(source)
            _close(sink)


def _close(sock: socket.socket) -> None:
    # Unlike close alone, shutdown wakes threads that wait for the socket.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


# --- Kafka ------------------------------------------------------------------------------------
class Api(IntEnum):
    """The requests of Kafka that the tests use."""

    PRODUCE = 0
    FETCH = 1
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Effect(Enum):
    """The effect of a fault on a frame."""

    LOSE = auto()
    #: The frame is lost and the connection closed.
    CUT = auto()
    #: Held until released, together with all later frames of the connection.
    HOLD = auto()


@dataclass
class Fault:
    """A fault of a client's nth request to an api, or of its answer."""

    client: str
    api: Api
    side: Side
    effect: Effect
    nth: int = 1
    #: The number of requests of the client until it struck.
    requests_before: int = 0
    struck: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The faults of all connections of a proxy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self._requests: defaultdict[str, list[int]] = defaultdict(list)

    def plan(self, *faults: Fault) -> None:
        with self._lock:
            self._planned += faults

    def requests_since(self, fault: Fault) -> list[int]:
        """The apis that the client has called since the fault struck."""
        with self._lock:
            return self._requests[fault.client][fault.requests_before :]

    def connect(self) -> "KafkaConnection":
        return KafkaConnection(self)

    def should_forward(self, client: str, api: int, side: Side) -> bool:
        with self._lock:
            if side is Side.REQUEST:
                self._requests[client].append(api)
            fault = self._next_fault(client, api, side)
        if fault is None:
            return True
        fault.struck.set()
        if fault.effect is Effect.CUT:
            raise Disconnect
        return fault.effect is Effect.HOLD and fault.released.wait(MAX_HOLD_S)

    def _next_fault(self, client: str, api: int, side: Side) -> Fault | None:
        for fault in self._planned:
            if (fault.client, fault.api, fault.side) == (client, api, side):
                fault.nth -= 1
                if fault.nth == 0:
                    fault.requests_before = len(self._requests[client])
                    return fault
        return None


class KafkaConnection:
    """One connection to a broker."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._pending: dict[int, tuple[str, int]] = {}

    def read_message(self, stream: BufferedReader) -> bytes:
        length = stream.read(4)
        return length + stream.read(*struct.unpack(">i", length)) if length else b""

    def should_forward(self, side: Side, message: bytes) -> bool:
        if side is Side.REQUEST:
            api, _version, correlation, length = struct.unpack_from(">hhih", message, 4)
            # An engine announces its intervals behind its own client id.
            client = message[14 : 14 + length].decode().partition(" ")[0]
            self._pending[correlation] = client, api
        else:
            (correlation,) = struct.unpack_from(">i", message, 4)
            client, api = self._pending.pop(correlation)
        return self._faults.should_forward(client, api, side)
