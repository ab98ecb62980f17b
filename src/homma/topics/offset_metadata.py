"""What stands beside the candles so that a restart finds its way: pure.

The committed offset's metadata is a Mark, and every candle record has two headers. The candle
topics are the engine's state; these say how far back they have to be read, and whether they
belong to the offset at all.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

from homma.errors import StateError
from homma.topics.contract import Headers

RUN: Final = "run"
TICKS_BEFORE: Final = "ticksBefore"


@dataclass(frozen=True, slots=True)
class OffsetMetadata:
    """The metadata of a committed offset."""

    #: Which sequence of restarts made the candles; a rebuild starts another.
    run: str
    #: All ticks before this input offset are in the candles.
    lastTicksBefore: int  # noqa: N815  the contract's name
    #: Ticks from here are read again for their identities.
    recallFrom: int  # noqa: N815
    #: The partition's clock, microseconds.
    clock: int
    #: By interval: candles that a restart needs have record timestamps from here, milliseconds.
    candlesFrom: tuple[int, ...]  # noqa: N815
    #: By interval: the offset of the candle partition where the run began.
    began: tuple[int, ...]
    #: Candles that begin before this instant are left to `homma repair` (a rebuild), else null.
    begin: int | None
    #: The id of the topic of ticks, which a topic made again does not share.
    topicId: str  # noqa: N815
    #: The price that the candles are made of.
    price: str

    def text(self) -> str:
        """The metadata; well below the broker's limit of 4096 bytes."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_offset_metadata(text: str, where: str) -> OffsetMetadata:
    """The mark of a metadata text; StateError where it is none of ours."""
    try:
        found = json.loads(text)
        return OffsetMetadata(
            **{
                **found,
                "candlesFrom": tuple(found["candlesFrom"]),
                "began": tuple(found["began"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _foreign(where, error) from error


@dataclass(frozen=True, slots=True)
class RekeyMetadata:
    """The metadata of an offset committed where ticks are only sent on."""

    #: All ticks before this input offset have been sent on.
    lastTicksBefore: int  # noqa: N815  as in Mark
    #: The id of the topic they came from, and of the one they were sent to.
    topicId: str  # noqa: N815
    ontoId: str  # noqa: N815

    def text(self) -> str:
        """The metadata."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_rekey_metadata(text: str, where: str) -> RekeyMetadata:
    """The mark of a metadata text; StateError where it is none of ours."""
    try:
        return RekeyMetadata(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise _foreign(where, error) from error


def _foreign(where: str, error: Exception) -> StateError:
    return StateError(
        f"the committed offset of {where} has not been written by homma ({error!r})",
        "if the group was reset on purpose start with --rebuild, else name another --group",
    )


def candle_headers(run: str, ticks_before: int) -> Headers:
    """The headers of a candle record."""
    return [(RUN, run), (TICKS_BEFORE, str(ticks_before))]
