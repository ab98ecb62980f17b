"""Every failpoint once: a step of a stage's work at which a test may end it.

The stage says that it has done a step to whoever it was given; by default that is nobody.
"""

from collections.abc import Callable
from enum import StrEnum
from itertools import count

from homma.errors import SettingError


class Step(StrEnum):
    """The steps by the names that they are asked for."""

    # A transaction.
    BEGUN = "begun"
    #: Handed to the client, which may have written none of it yet, or all.
    SENT = "sent"
    OFFSET_ADDED = "offset-added"
    #: In Kafka, but the engine's state is still that before.
    COMMITTED = "committed"

    # A restore.
    TAKEN_OVER = "taken-over"
    OFFSET_READ = "offset-read"
    CANDLES_READ = "candles-read"
    TICKS_RECALLED = "ticks-recalled"
    READY = "ready"

    # Waking dormant series.
    WAKING_CANDLES_READ = "waking-candles-read"
    AWAKE = "awake"

    # Landing.
    LANDING = "landing"
    #: The data files are in S3, and no snapshot knows them.
    UPLOADED = "uploaded"
    #: The manifests too; the catalog has not been asked yet.
    ASKING = "asking"
    #: It has answered, and the sink has not looked yet.
    ANSWERED = "answered"
    LANDED = "landed"

    # A table's upkeep.
    EXPIRED = "expired"
    SWEEPING = "sweeping"
    COMPACTED = "compacted"


Reached = Callable[[Step], None]


def ignored(step: Step) -> None:
    """What becomes of a step where no test looks."""
    del step


def at(text: str, act: Callable[[], None]) -> Reached:
    """Act when a step is reached: `text` is its name, or NAME:N for the Nth time.

    SettingError where it is neither.
    """
    name, colon, number = text.partition(":")
    try:
        wanted, nth = Step(name), int(number) if colon else 1
        if nth < 1:
            raise ValueError(number)
    except ValueError as error:
        raise SettingError(
            f"{text!r} is no failpoint", f"write STEP or STEP:N, with one of {', '.join(Step)}"
        ) from error
    times = count(1)

    def reached(step: Step) -> None:
        if step is wanted and next(times) == nth:
            act()

    return reached
