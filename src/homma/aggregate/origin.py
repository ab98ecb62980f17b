"""Where a tick came from, told by the headers of the records it is passed on in. Pure."""

from dataclasses import dataclass
from typing import Final

from homma.topics.contract import Headers
from homma.topics.kafka.reading import Message

#: What a tick that was keyed anew says of the record that it was: these are its last headers.
_REKEYED: Final = ("rekeyedKey", "rekeyedTopic", "rekeyedPartition", "rekeyedOffset")


@dataclass(frozen=True, slots=True)
class RecordOrigin:
    """The record that a producer of ticks sent."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers

    def refused(self, error: str) -> Headers:
        """The headers of a dead or late tick: its own, then why and where from."""
        told = [
            ("error", error),
            ("topic", self.topic),
            ("partition", str(self.partition)),
            ("offset", str(self.offset)),
        ]
        return [*self.headers, *told]

    def rekeyed(self) -> Headers:
        """The headers of a tick with another key: its own, then what `origin` reads back."""
        told = (self.key, self.topic, str(self.partition), str(self.offset))
        return [*self.headers, *zip(_REKEYED, told, strict=True)]


def origin(message: Message) -> RecordOrigin:
    """Where a tick came from."""
    return RecordOrigin(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        headers=_headers(message),
    )


def origin_of_rekeyed(message: Message) -> RecordOrigin:
    """Where a tick came from that was keyed anew on its way."""
    headers = _headers(message)
    (_, key), (_, topic), (_, partition), (_, offset) = headers[-len(_REKEYED) :]
    return RecordOrigin(
        topic=_text(topic),
        partition=int(_text(partition)),
        offset=int(_text(offset)),
        key=key.encode() if isinstance(key, str) else key,
        headers=headers[: -len(_REKEYED)],
    )


def _headers(message: Message) -> Headers:
    return list(message.headers() or ())  # type: ignore[arg-type]


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
