"""The feeds of `homma ingest` and `homma up --ingest`, checked before anything starts."""

from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from homma.cli.feed_choice import chosen_feed
from homma.core.tick import Price, kind_of
from homma.errors import SettingError
from homma.feed.definitions.record_values import require_records
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.recorded import ColumnMapping


def readers_of(
    feeds: Sequence[str], source: str, symbol: str, own: Collection[str]
) -> list[tuple[TickReader, str]]:
    """The reader and the topic of each FEED[=TOPIC]; `own` are the topics that homma writes."""
    readers: list[tuple[TickReader, str]] = []
    for feed in feeds:
        name, _, topic = feed.partition("=")
        definition = chosen_feed(name)
        if definition is None:
            raise SettingError(f"{feed!r} names no feed", "write FEED=TOPIC")
        topic = topic or definition.topic
        if not topic:
            raise SettingError(
                f"the feed {name} has no topic",
                f'write {name}=TOPIC, or add topic = "TOPIC" to its definition',
            )
        if topic in own:
            raise SettingError(
                f"homma writes the topic {topic} itself", "name the topic of the feed"
            )
        if any((known.definition.name, of) == (definition.name, topic) for known, of in readers):
            raise SettingError(f"{name}={topic} is given twice", "give it once")
        require_records(definition)
        mapping = ColumnMapping(source=source, symbol=symbol, definition=definition)
        readers.append((mapping.reader(Path(topic), pl.Schema()), topic))
    return readers


def require_feeds(feeds: Sequence[str], price: Price) -> list[str]:
    """Return the topics of feeds.

    Raises SettingError if a feed is not defined, or if none has the price that candles need.
    """
    readers = readers_of(feeds, "", "", ())
    kinds = {"trade" if "price" in reader.definition.fields else "quote" for reader, _ in readers}
    if kinds and kind_of(price) not in kinds:
        other = "--price trade" if kinds == {"trade"} else "--price mid"
        raise SettingError(
            f"homma up cannot build candles from the price {price} out of the {kinds.pop()}s of "
            f"{' '.join(feeds)}",
            f"add {other}, or another feed",
        )
    return list(dict.fromkeys(topic for _, topic in readers))
