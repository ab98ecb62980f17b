"""Live ticks: send RATE ticks per second, each dated with the time of sending, until SIGTERM.

python -m bench.live BOOTSTRAP TOPIC RATE SERIES BEHIND_US

The dates are BEHIND_US behind the wall clock.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from homma.topics.kafka.writing import Sender

EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
# Granularity of the pacing, far below the measured times.
_SLICE_S = 0.001


class Feed:
    """Ticks of all series in turn. Dates have microseconds and are unique."""

    def __init__(self, series: int, behind_us: int) -> None:
        self._series = series
        self._behind_us = behind_us
        self._newest_us = 0
        self._names = [(f"SOURCE_{n % 2}", f"SYM{n}") for n in range(series)]
        self.sent = 0

    def take(self, count: int) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of the next ticks, all dated now."""
        keys: list[bytes] = []
        values: list[bytes] = []
        for n in range(self.sent, self.sent + count):
            source, symbol = self._names[n % self._series]
            at_us = max(self._newest_us + 1, time.time_ns() // 1000 - self._behind_us)
            self._newest_us = at_us
            at = (EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds")
            bid = 600 + n * 7919 % 1000 / 100
            keys.append(f"{source}:{symbol}".encode())
            values.append(
                f'{{"source":"{source}","symbol":"{symbol}","ask":{bid + 0.01:.2f},'
                f'"bid":{bid:.2f},"mid":{bid:.2f},"askMarkup":0,"bidMarkup":0,'
                f'"isTradable":true,"number":{at_us},"dateTime":"{at}",'
                f'"receiveDateTime":"{at}"}}'.encode()
            )
        self.sent += count
        return keys, values


def send(bootstrap: str, topic: str, rate_per_s: int, series: int, behind_us: int) -> None:
    """Send until the process is interrupted."""
    feed, sender = Feed(series, behind_us), Sender({"bootstrap.servers": bootstrap})
    began_s = time.perf_counter()
    while True:
        due = int((time.perf_counter() - began_s) * rate_per_s) - feed.sent
        # If it cannot keep up, it sends in batches; each tick is dated when it is created.
        if due > 0:
            sender.send(topic, *feed.take(min(due, rate_per_s // 100 + 1)))
        else:
            sender.poll(0)
            time.sleep(_SLICE_S)


@contextmanager
def feeding(
    bootstrap: str, topic: str, rate_per_s: int, series: int, behind_us: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    """Live ticks from a process of its own."""
    argv = [sys.executable, "-m", "bench.live", bootstrap, topic, str(rate_per_s), str(series)]
    process = subprocess.Popen([*argv, str(behind_us)])
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        send(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
