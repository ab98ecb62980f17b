"""The metadata of committed offsets and the headers of candle records. Pure.

The candle topics are the engine's state. After a restart, the metadata and the headers show how
far back the topics have to be read and whether their candles belong to the committed offset.
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

    #: The run that wrote the candles. A restart continues the run; a rebuild starts a new one.
    run: str
    #: The candles include all ticks before this input offset.
    lastTicksBefore: int  # noqa: N815  as stored in Kafka
    #: The offset from which ticks are read again to recognize duplicates.
    recallFrom: int  # noqa: N815
    #: The partition's clock in microseconds.
    clock: int
    #: By interval: the smallest record timestamp of the candles a restart needs, in milliseconds.
    candlesFrom: tuple[int, ...]  # noqa: N815
    #: By interval: the offset in the candle partition at which the run began.
    began: tuple[int, ...]
    #: After a rebuild: candles that start before this time are left to `homma repair`. Else null.
    begin: int | None
    #: The id of the tick topic. A topic that is deleted and created again has another id.
    topicId: str  # noqa: N815
    #: The price from which the candles are built: mid, bid or ask.
    price: str

    def text(self) -> str:
        """The metadata as JSON, well below the broker's limit of 4096 bytes."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_offset_metadata(text: str, where: str) -> OffsetMetadata:
    """Parse offset metadata. Raises StateError if homma did not write the metadata."""
    try:
        fields = json.loads(text)
        return OffsetMetadata(
            **{
                **fields,
                "candlesFrom": tuple(fields["candlesFrom"]),
                "began": tuple(fields["began"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _not_from_homma(where, error) from error


@dataclass(frozen=True, slots=True)
class RekeyMetadata:
    """The metadata of an offset committed by the rekey step, which only forwards ticks."""

    #: All ticks before this input offset have been forwarded.
    lastTicksBefore: int  # noqa: N815  as in OffsetMetadata
    #: The ids of the source topic and of the rekeyed topic.
    topicId: str  # noqa: N815
    ontoId: str  # noqa: N815

    def text(self) -> str:
        """The metadata as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_rekey_metadata(text: str, where: str) -> RekeyMetadata:
    """Parse rekey metadata. Raises StateError if homma did not write the metadata."""
    try:
        return RekeyMetadata(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise _not_from_homma(where, error) from error


def _not_from_homma(where: str, error: Exception) -> StateError:
    return StateError(
        f"the committed offset of {where} was not written by homma ({error!r})",
        "if you reset the group on purpose, start with --rebuild; otherwise use another --group",
    )


def candle_headers(run: str, ticks_before: int) -> Headers:
    """The headers of a candle record."""
    return [(RUN, run), (TICKS_BEFORE, str(ticks_before))]
