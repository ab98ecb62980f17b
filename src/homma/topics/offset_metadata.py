"""The metadata of committed offsets and the headers of candle records. Pure.

The candle topics are the engine's state. After a restart, the metadata and the headers show how
far back the topics have to be read and whether their candles belong to the committed offset.
Both carry the version of their format: see `formats.py`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from homma.core.fields import Prices
from homma.core.tick import Price
from homma.errors import StateError
from homma.formats import CURRENT, FORMAT, format_of
from homma.topics.contract import Headers

RUN: Final = "run"
TICKS_BEFORE: Final = "ticksBefore"
#: When the days of all candles start that this homma can compute.
DAY_STARTS: Final = "00:00 UTC"
#: The intervals of format 1, which lists their values in this order.
_FORMAT_1_CODES: Final = ("m1", "m5", "m10", "m15", "m30", "h1", "h3", "h4", "D1", "W1", "M1")


@dataclass(frozen=True, slots=True)
class OffsetMetadata:
    """The metadata of a committed offset. Its fields are the keys of the stored JSON."""

    #: The run that wrote the candles. A restart continues the run; a rebuild starts a new one.
    run: str
    #: The candles include all ticks before this input offset.
    lastTicksBefore: int  # noqa: N815  as stored in Kafka
    #: The offset from which ticks are read again to recognize duplicates.
    recallFrom: int  # noqa: N815
    #: The partition's clock in microseconds.
    clock: int
    #: By interval: the smallest record timestamp of the candles a restart needs, in milliseconds.
    candlesFrom: Mapping[str, int]  # noqa: N815
    #: By interval: the offset in the candle partition at which the run began.
    began: Mapping[str, int]
    #: By interval, in microseconds: candles that start earlier are left to `homma repair`, after a
    #: rebuild or since the interval was chosen. An interval without such candles has no entry.
    begin: Mapping[str, int]
    #: The id of the tick topic. A topic that is deleted and created again has another id.
    topicId: str  # noqa: N815
    #: The price from which the candles are built.
    price: Price
    #: The codes of the calendar's intervals.
    intervals: tuple[str, ...]
    #: Which prices are valid, and when a day starts.
    prices: Prices = "positive"
    dayStarts: str = DAY_STARTS  # noqa: N815

    def text(self, version: int = CURRENT) -> str:
        """The metadata as JSON, well below the broker's limit of 4096 bytes."""
        if version == 1:
            check_format_1(self.intervals, self.begin)
        fields = {**asdict(self), "intervals": list(self.intervals)}
        written = {FORMAT: version, **fields} if version > 1 else _downgrade(fields)
        return json.dumps(written, separators=(",", ":"))


def read_offset_metadata(text: str, where: str) -> OffsetMetadata:
    """Parse offset metadata of any format version.

    Raises StateError if homma did not write the metadata, or if a newer homma did.
    """
    version, fields = _read(text, where)
    try:
        fields = _upgrade(fields) if version == 1 else fields
        return OffsetMetadata(**{**fields, "intervals": tuple(fields["intervals"])})
    except (ValueError, KeyError, TypeError) as error:
        raise _not_from_homma(where, error) from error


def _read(text: str, where: str) -> tuple[int, dict[str, Any]]:
    """The format version of metadata, and its other fields."""
    try:
        fields = json.loads(text)
        version = int(fields.pop(FORMAT, 1))
    except (ValueError, TypeError, AttributeError) as error:
        raise _not_from_homma(where, error) from error
    return format_of(version, f"the committed offset of {where}"), fields


def _upgrade(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 to 2: format 1 always has the same intervals, by position, and one `begin`."""
    begin = fields["begin"]
    return {
        **fields,
        "candlesFrom": dict(zip(_FORMAT_1_CODES, fields["candlesFrom"], strict=True)),
        "began": dict(zip(_FORMAT_1_CODES, fields["began"], strict=True)),
        "begin": {} if begin is None else dict.fromkeys(_FORMAT_1_CODES, begin),
        "intervals": _FORMAT_1_CODES,
    }


def check_format_1(codes: Sequence[str], begin: Mapping[str, int]) -> None:
    """Raise StateError if format 1 cannot describe these intervals and their `begin`."""
    if tuple(codes) != _FORMAT_1_CODES:
        raise StateError(
            f"format 1 has the intervals {','.join(_FORMAT_1_CODES)} only, but --intervals is "
            f"{','.join(codes)}",
            "upgrade every engine of the group, then start without --write-format 1",
        )
    if begin and (set(begin) != set(codes) or len(set(begin.values())) > 1):
        raise StateError(
            f"format 1 cannot describe that candles of {','.join(begin)} are left to homma repair",
            "run `homma repair`, or start without --write-format 1",
        )


def _downgrade(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Format 2 to 1, for engines that have not been upgraded yet."""
    newer = ("intervals", "prices", "dayStarts")
    return {
        **{name: value for name, value in fields.items() if name not in newer},
        "candlesFrom": [fields["candlesFrom"][code] for code in _FORMAT_1_CODES],
        "began": [fields["began"][code] for code in _FORMAT_1_CODES],
        "begin": next(iter(fields["begin"].values()), None),
    }


@dataclass(frozen=True, slots=True)
class ForwardMetadata:
    """The metadata of an offset committed by a stage that only forwards ticks.

    These are rekeying and ingestion. It is still as in format 1.
    """

    #: All records before this input offset have been forwarded.
    lastTicksBefore: int  # noqa: N815  as in OffsetMetadata
    #: The ids of the source topic and of the topic to which the ticks are forwarded.
    topicId: str  # noqa: N815
    ontoId: str  # noqa: N815

    def text(self) -> str:
        """The metadata as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_forward_metadata(text: str, where: str) -> ForwardMetadata:
    """Parse the metadata of a stage that forwards ticks.

    Raises StateError if homma did not write the metadata, or if a newer homma did.
    """
    _, fields = _read(text, where)
    try:
        return ForwardMetadata(**fields)
    except TypeError as error:
        raise _not_from_homma(where, error) from error


def _not_from_homma(where: str, error: Exception) -> StateError:
    return StateError(
        f"the committed offset of {where} was not written by homma ({error!r})",
        "if you reset the group on purpose, start with --rebuild; otherwise use another --group",
    )


def candle_headers(run: str, ticks_before: int, version: int = CURRENT) -> Headers:
    """The headers of a candle record. Records of format 1 have no header for their format."""
    headers: Headers = [(RUN, run), (TICKS_BEFORE, str(ticks_before))]
    return headers if version == 1 else [*headers, (FORMAT, str(version))]
