"""The steps at which an engine is killed, and ticks of series that are mostly idle."""

from homma.failpoint import Step
from tests.support.engines import Record

TRANSACTION = (Step.BEGUN, Step.SENT, Step.OFFSET_ADDED, Step.COMMITTED)
RESTORE = (
    Step.TAKEN_OVER,
    Step.OFFSET_READ,
    Step.CANDLES_READ,
    Step.TICKS_RECALLED,
    Step.READY,
)
WAKING = (Step.WAKING_CANDLES_READ, Step.AWAKE)
#: With these, a series that is idle for a second is dormant after a restart.
SHORT = ("--allowed-lateness", "1s", "--max-future", "0ms", "--watermark-delay", "0ms")


def by_turns(records: list[Record], series: int, turn: int) -> list[Record]:
    """Drop ticks so that each series is idle most of the time."""
    of = {f"S:SYM{n}".encode(): n for n in range(series)}
    return [
        (key, value)
        for n, (key, value) in enumerate(records)
        if key is None or n // turn % series == of[key]
    ]
