"""A proxy that injects faults into requests to the catalog and S3, and into their answers."""

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from io import BufferedReader

from tests.support.kafka_proxy import MAX_HOLD_S, Disconnect, Proxy, ReplaceAnswer, Side
from tests.support.weed import Weed

_ERROR = b'{"error":{"message":"injected","type":"InternalServerError","code":500}}'
SERVER_ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_ERROR), _ERROR)
)
#: Requests of the sink.
COMMIT = r"POST /v1/.*/tables/\S+_iceberg "
TOKEN = r"POST /v1/oauth/tokens "
LOOK = r"GET /v1/.*/tables/\S+_iceberg"
DATA = r"PUT /\S+\.parquet"
MANIFEST = r"PUT /\S+\.avro"


class Effect(Enum):
    """The effect of a fault."""

    #: The request is not passed on; the answer is 500.
    ERROR = auto()
    #: The request is passed on; the answer is 500, whatever the result.
    ERROR_AFTER = auto()
    #: The request is passed on; the connection breaks before the answer.
    LOSE_ANSWER = auto()
    #: The connection breaks in the middle of the request.
    CUT = auto()
    #: The request is delayed until `released`, even if the client has given up.
    HOLD = auto()


@dataclass
class Fault:
    """A fault in requests that match a pattern: `times` times, from the nth on."""

    pattern: str
    effect: Effect
    nth: int = 1
    times: int = 1
    struck: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The planned faults of all connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []

    def plan(self, *faults: Fault) -> Fault:
        with self._lock:
            self._planned += faults
        return faults[0]

    def clear(self) -> None:
        with self._lock:
            for fault in self._planned:
                fault.released.set()
            self._planned = []

    def struck(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self._planned:
                if re.match(fault.pattern, line):
                    fault.nth -= 1
                    if -fault.times < fault.nth <= 0:
                        fault.struck.set()
                        return fault
        return None

    def talk(self) -> "HttpTalk":
        return HttpTalk(self)


class HttpTalk:
    """One connection: a sequence of requests and their answers."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._requests: deque[tuple[str, Fault | None]] = deque()
        self._body_left = 0

    def read_message(self, stream: BufferedReader) -> bytes:
        """Read a whole message; a request with `Expect: 100-continue` is two pieces."""
        if self._body_left:
            left, self._body_left = self._body_left, 0
            return stream.read(left)
        head = _head(stream)
        if not head:
            return b""
        text = head.decode("latin-1")
        if text.startswith("HTTP/"):
            return head + self._answer_body(text, stream)
        length = _length(text)
        if re.search(r"(?im)^expect:\s*100-continue", text):
            self._body_left = length
            return head
        return head + (_chunks(stream) if _chunked(text) else stream.read(length))

    def _answer_body(self, head: str, stream: BufferedReader) -> bytes:
        status = int(head.split(" ", 2)[1])
        request_line = self._requests[0][0] if self._requests else ""
        if status < 200 or status in (204, 304) or request_line.startswith("HEAD"):
            return b""
        return _chunks(stream) if _chunked(head) else stream.read(_length(head))

    def should_forward(self, side: Side, piece: bytes) -> bool:
        line = piece[:2000].split(b"\r\n", 1)[0].decode("latin-1")
        if side is Side.ANSWER:
            return self._passes_answer(line)
        if not line.endswith("HTTP/1.1"):
            # The body of a request.
            return self._passes_body(piece)
        fault = self._faults.struck(line)
        self._requests.append((line, fault))
        return self._passes_request(fault, piece)

    def _passes_request(self, fault: Fault | None, piece: bytes) -> bool:
        if fault is None:
            return True
        if fault.effect is Effect.ERROR:
            self._requests.pop()
            raise ReplaceAnswer(SERVER_ERROR)
        if fault.effect is Effect.CUT and not self._body_left:
            raise Disconnect(piece[: len(piece) // 2])
        if fault.effect is Effect.HOLD:
            fault.released.wait(MAX_HOLD_S)
        return True

    def _passes_body(self, piece: bytes) -> bool:
        fault = self._requests[-1][1] if self._requests else None
        if fault is not None and fault.effect is Effect.CUT:
            raise Disconnect(piece[: len(piece) // 2])
        return True

    def _passes_answer(self, line: str) -> bool:
        if line.split(" ", 2)[1].startswith("1"):
            return True
        _, fault = self._requests.popleft() if self._requests else ("", None)
        if fault is None:
            return True
        if fault.effect is Effect.ERROR_AFTER:
            raise Disconnect(SERVER_ERROR)
        if fault.effect is Effect.LOSE_ANSWER:
            raise Disconnect
        return True


def _head(stream: BufferedReader) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b""
        head += line
    return head


def _length(head: str) -> int:
    match = re.search(r"(?im)^content-length:\s*(\d+)", head)
    return int(match[1]) if match else 0


def _chunked(head: str) -> bool:
    return re.search(r"(?im)^transfer-encoding:\s*chunked", head) is not None


def _chunks(stream: BufferedReader) -> bytes:
    body = b""
    while True:
        size = stream.readline()
        body += size
        count = int(size.split(b";")[0] or b"0", 16)
        body += stream.read(count + 2)
        if not count:
            return body


@dataclass
class Way:
    """A route to the catalog and S3 through proxies with faults."""

    faults: Faults
    properties: dict[str, str]

    @contextmanager
    def away(self, pattern: str = r"\S+ /v1/") -> Iterator[None]:
        """Break the connection of every matching request, in its first piece."""
        fault = self.faults.plan(Fault(pattern, Effect.CUT, times=1_000_000))
        try:
            yield
        finally:
            fault.times = 0


@contextmanager
def between(weed: Weed) -> Iterator[Way]:
    faults = Faults()
    catalog, s3 = Proxy(faults.talk), Proxy(faults.talk)
    with catalog.to(weed.catalog_port), s3.to(weed.s3_port):
        try:
            yield Way(faults, weed.through(catalog.port, s3.port))
        finally:
            faults.clear()
