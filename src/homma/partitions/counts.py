"""What became of the records that were read: each of them counts exactly once. Pure."""

from homma.errors import InternalError


def check_counts(where: str, verb: str, records: int, **counts: int) -> None:
    """Raise InternalError unless the counts add up to the number of records.

    `verb` says what all of these records have in common: they were read, rejected or due.
    """
    counted = sum(counts.values())
    if counted != records:
        parts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())
        raise InternalError(f"{where}: {records} records were {verb}, but {counted} count: {parts}")
