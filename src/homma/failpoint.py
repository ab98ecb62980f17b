"""All failpoints: the steps of a stage at which a test can end its process.

A stage calls its `on_step` callback after each step; by default nothing happens.
"""

from collections.abc import Callable
from enum import StrEnum
from itertools import count

from homma.errors import SettingError


class Step(StrEnum):
    """The steps, by the names that HOMMA_FAILPOINT takes."""

    # A transaction.
    BEGUN = "begun"
    #: The client has the records; it may have written none of them yet, or all.
    SENT = "sent"
    OFFSET_ADDED = "offset-added"
    #: Kafka has committed; the engine's state is still the one from before.
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
    #: The data files are in S3, but in no snapshot yet.
    UPLOADED = "uploaded"
    #: The manifests are in S3 too; the commit has not been sent to the catalog yet.
    ASKING = "asking"
    #: The catalog has answered; the sink has not read the answer yet.
    ANSWERED = "answered"
    LANDED = "landed"

    # Table maintenance.
    EXPIRED = "expired"
    SWEEPING = "sweeping"
    COMPACTED = "compacted"


OnStep = Callable[[Step], None]


def ignore_step(step: Step) -> None:
    """Do nothing: the default for `on_step`."""
    del step


def failpoint(text: str, act: Callable[[], None]) -> OnStep:
    """A callback that acts at the step STEP, or at its Nth time with STEP:N.

    Raises SettingError if `text` is neither.
    """
    name, colon, number = text.partition(":")
    try:
        target, nth = Step(name), int(number) if colon else 1
        if nth < 1:
            raise ValueError(number)
    except ValueError as error:
        raise SettingError(
            f"{text!r} is not a failpoint",
            f"use STEP or STEP:N, where STEP is one of {', '.join(Step)}",
        ) from error
    times = count(1)

    def on_step(step: Step) -> None:
        if step is target and next(times) == nth:
            act()

    return on_step
