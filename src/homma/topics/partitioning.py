"""The partition to which Kafka's producers send a record with a given key. Pure."""

from typing import Final

_MASK: Final = 0xFFFFFFFF
_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C


def murmur2(data: bytes) -> int:
    """The hash of Kafka's Java clients, as an unsigned number."""
    digest = (_SEED ^ len(data)) & _MASK
    whole = len(data) - len(data) % 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        digest = (digest * _M & _MASK) ^ word
    if whole < len(data):
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    digest = (digest ^ digest >> 13) * _M & _MASK
    return digest ^ digest >> 15


def partition_of(source: str, symbol: str, partitions: int) -> int:
    """The partition of a series whose records are keyed SOURCE:SYMBOL."""
    return (murmur2(f"{source}:{symbol}".encode()) & 0x7FFFFFFF) % partitions
