"""What the topics are called, how many partitions they have and how long they keep records.

Pure: `kafka.py` makes them so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from homma.core.interval import DAY_US, INTERVALS, MINUTE_US, Interval
from homma.errors import SettingError
from homma.settings import TopicSettings

#: What a record carries beside key and value.
Headers = list[tuple[str, str | bytes | None]]

_MIB: Final = 1 << 20
#: The longest tick, and by how much the topics of refused ticks exceed it: their added headers.
TICK_BYTES: Final = _MIB + 12
REFUSED_BYTES: Final = TICK_BYTES + 64 * 1024
# Kafka refuses records an hour ahead of the broker's clock. Candles carry the partition's clock and
# refused ticks their own timestamp, which a jump of the broker's clock leaves ahead of it.
_ANY_TIMESTAMP: Final = str((1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Topics:
    """The names. `candles` is in the order of INTERVALS."""

    ticks: str
    dead: str
    late: str
    candles: tuple[str, ...]
    #: The ticks keyed anew, internal to the engine: only with --rekey it is there.
    by_series: str

    def all(self) -> tuple[str, ...]:
        """Every topic that others may read, the input first."""
        return (self.ticks, self.dead, self.late, *self.candles)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str]


def topics(settings: TopicSettings) -> Topics:
    """The names that the patterns give; SettingError where two are the same."""
    ticks = settings.topic
    named = Topics(
        ticks=ticks,
        dead=settings.dead_topic.replace("{topic}", ticks),
        late=settings.late_topic.replace("{topic}", ticks),
        candles=tuple(settings.candle_topic.replace("{name}", i.name) for i in INTERVALS),
        by_series=settings.rekey_topic.replace("{topic}", ticks),
    )
    names = (*named.all(), named.by_series)
    if len(set(names)) != len(names):
        raise SettingError(
            f"the topic names {', '.join(names)} are not all different",
            "let candle_topic contain {name}, and give each of the others its own",
        )
    return named


def specs(settings: TopicSettings, partitions: int) -> tuple[TopicSpec, ...]:
    """All topics of the contract, where `stock_ticks` has so many partitions."""
    named = topics(settings)
    week = {"cleanup.policy": "delete", "retention.ms": _ms(settings.tick_retention)}
    appended = {**week, "message.timestamp.type": "LogAppendTime"}
    refused = {
        **week,
        "max.message.bytes": str(REFUSED_BYTES),
        "message.timestamp.after.max.ms": _ANY_TIMESTAMP,
    }
    return (
        TopicSpec(named.ticks, partitions, {**appended, "max.message.bytes": str(TICK_BYTES)}),
        TopicSpec(named.dead, partitions, refused),
        TopicSpec(named.late, partitions, refused),
        *(
            TopicSpec(name, partitions, _candle_config(settings, interval))
            for name, interval in zip(named.candles, INTERVALS, strict=True)
        ),
    )


def transactional_id(group: str, topic: str, partition: int) -> str:
    """Who writes the candles of a partition of ticks: whoever takes the id over, fences others."""
    return f"homma-{group}-{topic}-{partition}"


def by_series_spec(settings: TopicSettings, partitions: int) -> TopicSpec:
    """The topic of ticks keyed anew: they keep the timestamps they had."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": _ms(settings.tick_retention),
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": _ANY_TIMESTAMP,
        "max.message.bytes": str(REFUSED_BYTES),
    }
    return TopicSpec(topics(settings).by_series, partitions, config)


def _candle_config(settings: TopicSettings, interval: Interval) -> dict[str, str]:
    # A restart reads these topics, so superseded candles must go soon: the active segment is
    # never compacted, hence small segments that roll often.
    return {
        "cleanup.policy": "compact,delete",
        "retention.ms": _ms(candle_retention(settings, interval)),
        "segment.bytes": str(_MIB),
        "segment.ms": "600000",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "600000",
        "delete.retention.ms": "3600000",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": _ANY_TIMESTAMP,
    }


def candle_retention(settings: TopicSettings, interval: Interval) -> timedelta:
    """How long Kafka keeps an interval's candles: the history is in the lake."""
    if interval.longest_us <= 30 * MINUTE_US:
        return settings.minute_retention
    return settings.hour_retention if interval.longest_us < DAY_US else settings.day_retention


def _ms(value: timedelta) -> str:
    return str(value // timedelta(milliseconds=1))
