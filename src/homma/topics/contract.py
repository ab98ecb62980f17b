"""The names, partition counts and settings of the topics.

Pure: `kafka/admin.py` creates the topics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from homma.core.calendar import Calendar
from homma.core.interval import DAY_US, MINUTE_US, Interval
from homma.errors import SettingError
from homma.settings import TopicSettings

#: The headers of a record.
Headers = list[tuple[str, str | bytes | None]]

_MIB: Final = 1 << 20
#: The largest tick record. Dead and late records may be larger, because of their added headers.
TICK_BYTES: Final = _MIB + 12
REJECTED_BYTES: Final = TICK_BYTES + 64 * 1024
# By default Kafka rejects records that are an hour ahead of the broker's clock. Candles carry the
# partition's clock, and dead and late ticks keep their timestamps. After the broker's clock was
# set back, both can be ahead of it.
_ANY_TIMESTAMP: Final = str((1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Topics:
    """The calendar and the topic names.

    `candles` has the topic of each interval that the engine aggregates, by the interval's code.
    The topic of months is internal if the calendar does not have them.
    """

    calendar: Calendar
    ticks: str
    dead: str
    late: str
    candles: Mapping[str, str]
    #: The rekeyed ticks, internal to the engine. The topic exists only with --rekey.
    by_series: str

    def all(self) -> tuple[str, ...]:
        """All public topics, the input topic first."""
        return (self.ticks, self.dead, self.late, *self.public_candles.values())

    @property
    def public_candles(self) -> Mapping[str, str]:
        """The topics of the calendar's intervals, by code."""
        return {code: self.candles[code] for code in self.calendar.codes}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The name, partition count and settings that a topic should have."""

    name: str
    partitions: int
    config: Mapping[str, str]


def topics(settings: TopicSettings) -> Topics:
    """The topic names from the settings. Raises SettingError if two names are the same."""
    ticks, calendar = settings.topic, settings.intervals
    named = Topics(
        calendar=calendar,
        ticks=ticks,
        dead=settings.dead_topic.replace("{topic}", ticks),
        late=settings.late_topic.replace("{topic}", ticks),
        candles={
            interval.code: settings.candle_topic.replace("{name}", interval.name)
            for interval in calendar.aggregated
        },
        by_series=settings.rekey_topic.replace("{topic}", ticks),
    )
    names = (named.ticks, named.dead, named.late, *named.candles.values(), named.by_series)
    if len(set(names)) != len(names):
        raise SettingError(
            f"the topic names {', '.join(names)} are not all different",
            "include {name} in candle_topic and use a different name for each of the other topics",
        )
    return named


def specs(settings: TopicSettings, partitions: int) -> tuple[TopicSpec, ...]:
    """All public topics, each with the given number of partitions."""
    named = topics(settings)
    week = {"cleanup.policy": "delete", "retention.ms": _ms(settings.tick_retention)}
    appended = {**week, "message.timestamp.type": "LogAppendTime"}
    rejected = {
        **week,
        "max.message.bytes": str(REJECTED_BYTES),
        "message.timestamp.after.max.ms": _ANY_TIMESTAMP,
    }
    return (
        TopicSpec(named.ticks, partitions, {**appended, "max.message.bytes": str(TICK_BYTES)}),
        TopicSpec(named.dead, partitions, rejected),
        TopicSpec(named.late, partitions, rejected),
        *(
            TopicSpec(name, partitions, _candle_config(settings, interval))
            for name, interval in zip(
                named.candles.values(), named.calendar.aggregated, strict=True
            )
        ),
    )


def transactional_id(group: str, topic: str, partition: int) -> str:
    """The transactional id for a tick partition: a producer that takes it over fences the last."""
    return f"homma-{group}-{topic}-{partition}"


def by_series_spec(settings: TopicSettings, partitions: int) -> TopicSpec:
    """The topic of rekeyed ticks, which keep their original timestamps."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": _ms(settings.tick_retention),
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": _ANY_TIMESTAMP,
        "max.message.bytes": str(REJECTED_BYTES),
    }
    return TopicSpec(topics(settings).by_series, partitions, config)


def _candle_config(settings: TopicSettings, interval: Interval) -> dict[str, str]:
    # A restart reads these topics, so outdated records must be compacted away soon. The active
    # segment is never compacted, so segments are small and roll often.
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
    """How long Kafka keeps the candles of an interval. The lake keeps the full history."""
    if interval.longest_us <= 30 * MINUTE_US:
        return settings.minute_retention
    return settings.hour_retention if interval.longest_us < DAY_US else settings.day_retention


def _ms(value: timedelta) -> str:
    return str(value // timedelta(milliseconds=1))
