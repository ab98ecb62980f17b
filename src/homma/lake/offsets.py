"""How far of a topic a table holds it: kept in the table, together with the rows. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from homma.errors import LakeError


@dataclass(frozen=True, slots=True)
class Offsets:
    """Of each partition the offset after the last record that the table holds.

    `topic_id` is Kafka's: a topic that is made again has another.
    """

    topic: str
    topic_id: str
    next: Mapping[int, int]

    def moved(self, to: Mapping[int, int]) -> "Offsets":
        """With partitions moved on."""
        return replace(self, next=MappingProxyType({**self.next, **to}))

    def text(self) -> str:
        """As a table keeps it."""
        after = {str(partition): offset for partition, offset in sorted(self.next.items())}
        return json.dumps({"topic": self.topic, "topicId": self.topic_id, "next": after})


def read_offsets(text: str) -> Offsets:
    """Read what `Offsets.text` wrote."""
    try:
        found = json.loads(text)
        after = {int(partition): int(offset) for partition, offset in found["next"].items()}
        return Offsets(str(found["topic"]), str(found["topicId"]), MappingProxyType(after))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"homma.offsets of a table cannot be read ({text[:80]})",
            "restore the property from the summary of an earlier snapshot",
        ) from error
