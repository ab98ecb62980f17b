"""Dead letters of foreign records, which may be larger than homma's topics take. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from homma.partitions.origin import RecordOrigin, origin
from homma.partitions.outgoing import OutgoingRecords
from homma.topics.contract import TICK_BYTES, Headers
from homma.topics.kafka.reading import Message

#: The header of a value that is cut: the number of bytes that the record has.
VALUE_BYTES: Final = "valueBytes"
#: Larger keys and headers are left out. The record has them still, where it came from.
_KEY_AND_HEADERS_BYTES: Final = 32 * 1024


def dead_letters(batch: Sequence[Message], errors: Mapping[int, str]) -> OutgoingRecords:
    """The dead letters of the records with errors, by their index."""
    keys, values, headers = [], [], []
    for row, error in errors.items():
        key, value, of_record = _dead_letter(batch[row], error)
        keys.append(key)
        values.append(value)
        headers.append(of_record)
    timestamps_ms = [batch[row].timestamp()[1] for row in errors]
    return OutgoingRecords([*errors], keys, values, timestamps_ms, headers)


def _dead_letter(message: Message, error: str) -> tuple[bytes | None, bytes | None, Headers]:
    sent, value = origin(message), message.value()
    if _size(sent) > _KEY_AND_HEADERS_BYTES:
        sent = RecordOrigin(sent.topic, sent.partition, sent.offset, None, [])
    headers = sent.rejected_headers(error)
    if value is None or len(value) <= TICK_BYTES:
        return sent.key, value, headers
    return sent.key, value[:TICK_BYTES], [*headers, (VALUE_BYTES, str(len(value)))]


def _size(sent: RecordOrigin) -> int:
    return len(sent.key or b"") + sum(len(name) + len(text or "") for name, text in sent.headers)
