"""A TCP proxy, and what it can do to a conversation with Kafka.

`Proxy` passes on whatever both ends say, piece by piece, and knows nothing about it; a `Talk`
cuts the bytes of one connection into pieces and says what becomes of each. `KafkaTalk` does so
by Kafka's frames: a length, then for a request its api, version, correlation id and client id,
for an answer the correlation id alone.
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

# Longer than any client waits for an answer.
HELD_S = 120.0


class Side(Enum):
    """Who speaks."""

    REQUEST = auto()
    ANSWER = auto()


class Cut(Exception):
    """The connection is to break off here, after `passed` has been passed on."""

    def __init__(self, passed: bytes = b"") -> None:
        super().__init__()
        self.passed = passed


class Instead(Exception):
    """A request is not passed on: it gets this answer."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


class Talk(Protocol):
    """One connection as its protocol sees it."""

    def piece(self, stream: BufferedReader) -> bytes:
        """What is passed on as a whole, or not at all; nothing when the stream has ended."""

    def passes(self, side: Side, piece: bytes) -> bool:
        """Whether to pass it on; may take its time, or raise Cut or Instead."""


class Anything:
    """Any protocol: bytes as they come."""

    def piece(self, stream: BufferedReader) -> bytes:
        return stream.read1(65_536)

    def passes(self, side: Side, piece: bytes) -> bool:
        del side, piece
        return True


class Proxy:
    """Listens on a port of its own, and passes on what is said there."""

    def __init__(self, talk: Callable[[], Talk] = Anything) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @contextmanager
    def to(self, port: int) -> Iterator[None]:
        """Pass on to a port, for the length of a with block."""
        accepting = threading.Thread(target=self._accept, args=(port,))
        accepting.start()
        try:
            yield
        finally:
            _end(self._listener)
            accepting.join()
            for one in self._sockets:
                _end(one)
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
                _end(client)
                continue
            talk = self._talk()
            self._sockets += [client, server]
            for side, source, sink in (
                (Side.REQUEST, client, server),
                (Side.ANSWER, server, client),
            ):
                thread = threading.Thread(target=self._pass_on, args=(talk, side, source, sink))
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, talk: Talk, side: Side, source: socket.socket, sink: socket.socket) -> None:
        try:
            with source.makefile("rb") as stream:
                while piece := talk.piece(stream):
                    try:
                        if talk.passes(side, piece):
                            sink.sendall(piece)
                    except Instead as other:
                        source.sendall(other.answer)
            # What goes the other way may still be under way.
            sink.shutdown(socket.SHUT_WR)
        except (OSError, Cut) as end:
            if isinstance(end, Cut) and end.passed:
                with contextlib.suppress(OSError):
                    sink.sendall(end.passed)
            _end(source)
            _end(sink)


def _end(one: socket.socket) -> None:
    # Unlike close alone, this wakes whoever waits for it.
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


# --- Kafka ------------------------------------------------------------------------------------
class Api(IntEnum):
    """Kafka's requests that tests care about."""

    PRODUCE = 0
    FETCH = 1
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Effect(Enum):
    """What happens to a frame."""

    LOSE = auto()
    #: Lost, and the connection with it.
    CUT = auto()
    #: Held back until it is released, together with all that follows on its connection.
    HOLD = auto()


@dataclass
class Fault:
    """What happens to a client's nth request to an api, or to the answer to it."""

    client: str
    api: Api
    side: Side
    effect: Effect
    nth: int = 1
    #: How many requests of the client had come by when it struck.
    after: int = 0
    struck: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Faults:
    """What is to happen on all connections of a proxy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self._asked: defaultdict[str, list[int]] = defaultdict(list)

    def plan(self, *faults: Fault) -> None:
        with self._lock:
            self._planned += faults

    def asked_since(self, fault: Fault) -> list[int]:
        """The apis that its client has asked since it struck."""
        with self._lock:
            return self._asked[fault.client][fault.after :]

    def talk(self) -> "KafkaTalk":
        return KafkaTalk(self)

    def passes(self, client: str, api: int, side: Side) -> bool:
        with self._lock:
            if side is Side.REQUEST:
                self._asked[client].append(api)
            fault = self._struck(client, api, side)
        if fault is None:
            return True
        fault.struck.set()
        if fault.effect is Effect.CUT:
            raise Cut
        return fault.effect is Effect.HOLD and fault.released.wait(HELD_S)

    def _struck(self, client: str, api: int, side: Side) -> Fault | None:
        for fault in self._planned:
            if (fault.client, fault.api, fault.side) == (client, api, side):
                fault.nth -= 1
                if fault.nth == 0:
                    fault.after = len(self._asked[client])
                    return fault
        return None


class KafkaTalk:
    """One connection with a broker."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._asked: dict[int, tuple[str, int]] = {}

    def piece(self, stream: BufferedReader) -> bytes:
        length = stream.read(4)
        return length + stream.read(*struct.unpack(">i", length)) if length else b""

    def passes(self, side: Side, piece: bytes) -> bool:
        if side is Side.REQUEST:
            api, _version, correlation, length = struct.unpack_from(">hhih", piece, 4)
            client = piece[14 : 14 + length].decode()
            self._asked[correlation] = client, api
        else:
            (correlation,) = struct.unpack_from(">i", piece, 4)
            client, api = self._asked.pop(correlation)
        return self._faults.passes(client, api, side)
