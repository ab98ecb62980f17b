"""The loop of a feed, which sends due ticks to Kafka.

The clock, the sleep function and the stop condition are arguments. Progress goes to a callback.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from homma.errors import FeedError
from homma.feed.source import TickSource
from homma.settings import TopicSettings
from homma.topics.contract import TopicSpec, specs

#: How long the loop sleeps when no ticks are due. This limits the precision of the pacing.
SLICE_S: Final = 0.05
#: Records per batch.
_BATCH: Final = 10_000
_REPORT_US: Final = 500_000
_FLUSHES, _FLUSH_S = 30, 1.0


class TopicAdmin(Protocol):
    """The part of topics/kafka's Admin that the feed uses."""

    def partitions(self) -> dict[str, int]:
        """Every topic with its partition count."""

    def ensure(self, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
        """Create the missing topics and return their names."""


class TickSender(Protocol):
    """The part of topics/kafka's Sender that the feed uses."""

    def send(self, topic: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Queue records."""

    def poll(self, timeout_s: float) -> None:
        """Handle delivery reports."""

    def flush(self, timeout_s: float) -> int:
        """Wait for acknowledgements. Returns the number of records not yet acknowledged."""

    @property
    def waiting(self) -> int:
        """The number of records not yet acknowledged."""


@dataclass(frozen=True, slots=True)
class SendProgress:
    """The progress of a feed.

    `total` is None if unknown or unlimited. `rate_per_s` is the rate since the previous progress.
    """

    sent: int
    total: int | None
    unacknowledged: int
    rate_per_s: float


def prepare(cluster: TopicAdmin, settings: TopicSettings) -> list[str]:
    """Create the missing topics and return their names.

    If the tick topic exists, the other topics get the same number of partitions.
    """
    existing = cluster.partitions().get(settings.topic)
    return cluster.ensure(
        specs(settings, existing or settings.partitions), settings.replication_factor
    )


def run(
    source: TickSource,
    sender: TickSender,
    topic: str,
    *,
    limit: int,
    stop: Callable[[], bool],
    now_us: Callable[[], int],
    sleep: Callable[[float], object],
    on_progress: Callable[[SendProgress], None],
) -> SendProgress:
    """Send until the source ends, `limit` records (0: no limit) are sent, or `stop` returns True.

    Returns when all records are acknowledged. Raises FeedError if that takes too long.
    """
    meter = _Meter(_total(source, limit), now_us())
    while not stop():
        size = min(_BATCH, limit - meter.sent) if limit else _BATCH
        records = source.take(now_us(), size) if size > 0 else None
        if records is None:
            break
        if records.values:
            sender.send(topic, records.keys, records.values)
        else:
            sender.poll(0)
        meter.sent += len(records.values)
        if meter.due(now_us()):
            on_progress(meter.read(now_us(), sender.waiting))
        if len(records.values) < size:
            sleep(SLICE_S)
    _flush(sender, meter.sent)
    last = meter.read(now_us(), 0)
    on_progress(last)
    return last


def _total(source: TickSource, limit: int) -> int | None:
    if not limit:
        return source.total
    return limit if source.total is None else min(limit, source.total)


def _flush(sender: TickSender, sent: int) -> None:
    for _ in range(_FLUSHES):
        unacknowledged = sender.flush(_FLUSH_S)
        if not unacknowledged:
            return
    raise FeedError(
        f"{unacknowledged} of {sent} ticks were not acknowledged within {_FLUSHES * _FLUSH_S:g} s",
        "check that the broker is healthy, then send the ticks again; duplicates are counted once",
    )


class _Meter:
    """Counts sent ticks and measures the rate since the last reading."""

    def __init__(self, total: int | None, now_us: int) -> None:
        self.sent = 0
        self._total = total
        self._read_us, self._read_sent, self._rate_per_s = now_us, 0, 0.0

    def due(self, now_us: int) -> bool:
        return now_us - self._read_us >= _REPORT_US

    def read(self, now_us: int, unacknowledged: int) -> SendProgress:
        # The interval before the last reading may be too short to measure a rate.
        if now_us > self._read_us and (self.due(now_us) or not self._rate_per_s):
            self._rate_per_s = (self.sent - self._read_sent) * 1e6 / (now_us - self._read_us)
        self._read_us, self._read_sent = now_us, self.sent
        return SendProgress(self.sent, self._total, unacknowledged, self._rate_per_s)
