"""Checks that a committed offset belongs to the records that its topic has. Pure."""

from homma.errors import StateError
from homma.topics.kafka.identity import TopicState, ends_before
from homma.topics.kafka.reading import Range


def check_offset(
    where: str, committed: int, expected: int, ticks: Range, state: TopicState, remedy: str
) -> None:
    """Raise StateError if a committed offset does not match the ticks in the topic.

    `expected` is the offset in the metadata, `ticks` the offsets that the partition still has,
    `state` that of its topic.
    """
    if expected != committed:
        raise StateError(
            f"the committed offset of {where} is {committed}, but homma has processed the "
            f"ticks before offset {expected}",
            f"set the offset back to {expected}, or {remedy}",
        )
    if state is not TopicState.SAME or ends_before(ticks.end, committed):
        raise StateError(f"the topic of {where} was deleted and created again", remedy)
    if committed < ticks.start:
        raise StateError(
            f"{ticks.start - committed} ticks of {where} were deleted by retention before they "
            "were read",
            f"raise the retention of the topic, and {remedy}",
        )
