"""The loop of a feed: what is due goes to Kafka. It decides nothing.

Time, waiting and stopping are arguments; progress is a value that is handed to a callback.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from homma.errors import FeedError
from homma.feed.source import TickSource
from homma.settings import TopicSettings
from homma.topics.contract import TopicSpec, specs

#: How long the loop sleeps when nothing is due: the grain of the pacing.
SLICE_S: Final = 0.05
#: Records handed over at once.
_MOST: Final = 10_000
_REPORT_US: Final = 500_000
_FLUSHES, _FLUSH_S = 30, 1.0


class TopicAdmin(Protocol):
    """What the feed asks of topics/kafka's Admin."""

    def partitions(self) -> dict[str, int]:
        """Every topic with its partition count."""

    def ensure(self, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
        """Make the topics that are missing and return their names."""


class Outlet(Protocol):
    """What the feed asks of topics/kafka's Sender."""

    def send(self, topic: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Hand over records."""

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports."""

    def flush(self, timeout_s: float) -> int:
        """Wait for acknowledgements; how many are missing."""

    @property
    def waiting(self) -> int:
        """Records not yet acknowledged."""


@dataclass(frozen=True, slots=True)
class SendProgress:
    """How far a feed is.

    Records handed over, of how many (None: not known, or no end), those of them that are not
    acknowledged yet, and the rate since the progress before.
    """

    sent: int
    total: int | None
    unacknowledged: int
    rate_per_s: float


def prepare(cluster: TopicAdmin, settings: TopicSettings) -> list[str]:
    """Make the contract's topics that are missing; their names.

    A topic of ticks that is there is taken as found: the others get as many partitions.
    """
    found = cluster.partitions().get(settings.topic)
    return cluster.ensure(
        specs(settings, found or settings.partitions), settings.replication_factor
    )


def run(
    source: TickSource,
    outlet: Outlet,
    topic: str,
    *,
    limit: int,
    stop: Callable[[], bool],
    now_us: Callable[[], int],
    sleep: Callable[[float], object],
    on_progress: Callable[[SendProgress], None],
) -> SendProgress:
    """Send until the source ends, `limit` records (0: no limit) are sent, or `stop` says so.

    All that was sent is acknowledged when it returns; FeedError where the broker does not.
    """
    meter = _Meter(_total(source, limit), now_us())
    while not stop():
        most = min(_MOST, limit - meter.sent) if limit else _MOST
        records = source.take(now_us(), most) if most > 0 else None
        if records is None:
            break
        if records.values:
            outlet.send(topic, records.keys, records.values)
        else:
            outlet.poll(0)
        meter.sent += len(records.values)
        if meter.due(now_us()):
            on_progress(meter.read(now_us(), outlet.waiting))
        if len(records.values) < most:
            sleep(SLICE_S)
    _flush(outlet, meter.sent)
    last = meter.read(now_us(), 0)
    on_progress(last)
    return last


def _total(source: TickSource, limit: int) -> int | None:
    if not limit:
        return source.total
    return limit if source.total is None else min(limit, source.total)


def _flush(outlet: Outlet, sent: int) -> None:
    for _ in range(_FLUSHES):
        left = outlet.flush(_FLUSH_S)
        if not left:
            return
    raise FeedError(
        f"{left} of {sent} ticks were not acknowledged within {_FLUSHES * _FLUSH_S:g} s",
        "see whether the broker is well, then send them again: a tick twice counts once",
    )


class _Meter:
    """Counts what is sent, and how fast since the last reading."""

    def __init__(self, total: int | None, now_us: int) -> None:
        self.sent = 0
        self._total = total
        self._read_us, self._read_sent, self._rate_per_s = now_us, 0, 0.0

    def due(self, now_us: int) -> bool:
        return now_us - self._read_us >= _REPORT_US

    def read(self, now_us: int, unacknowledged: int) -> SendProgress:
        # The last moments before the end are too short to tell a rate from.
        if now_us > self._read_us and (self.due(now_us) or not self._rate_per_s):
            self._rate_per_s = (self.sent - self._read_sent) * 1e6 / (now_us - self._read_us)
        self._read_us, self._read_sent = now_us, self.sent
        return SendProgress(self.sent, self._total, unacknowledged, self._rate_per_s)
