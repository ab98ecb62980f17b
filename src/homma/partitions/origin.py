"""The record that a tick came from, also after the tick was forwarded to another topic. Pure."""

from dataclasses import dataclass
from typing import Final

from homma.topics.contract import Headers
from homma.topics.kafka.reading import Message

#: The last headers of a rekeyed tick: the key and the position of the original record.
_REKEY_HEADERS: Final = ("rekeyedKey", "rekeyedTopic", "rekeyedPartition", "rekeyedOffset")


@dataclass(frozen=True, slots=True)
class RecordOrigin:
    """The record as the producer of the tick sent it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers

    def rejected_headers(self, error: str) -> Headers:
        """The headers of a dead letter or a dropped tick: the original ones, error and position."""
        added = [
            ("error", error),
            ("topic", self.topic),
            ("partition", str(self.partition)),
            ("offset", str(self.offset)),
        ]
        return [*self.headers, *added]

    def rekeyed_headers(self) -> Headers:
        """The headers of a rekeyed tick: the original ones, and those `rekeyed_origin` reads."""
        added = (self.key, self.topic, str(self.partition), str(self.offset))
        return [*self.headers, *zip(_REKEY_HEADERS, added, strict=True)]


def origin(message: Message) -> RecordOrigin:
    """The origin of a tick that was not rekeyed: the record itself."""
    return RecordOrigin(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        headers=_headers(message),
    )


def rekeyed_origin(message: Message) -> RecordOrigin:
    """The origin of a rekeyed tick, from its headers."""
    headers = _headers(message)
    (_, key), (_, topic), (_, partition), (_, offset) = headers[-len(_REKEY_HEADERS) :]
    return RecordOrigin(
        topic=_text(topic),
        partition=int(_text(partition)),
        offset=int(_text(offset)),
        key=key.encode() if isinstance(key, str) else key,
        headers=headers[: -len(_REKEY_HEADERS)],
    )


def _headers(message: Message) -> Headers:
    return list(message.headers() or ())  # type: ignore[arg-type]


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
