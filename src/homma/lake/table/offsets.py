"""Offsets of a topic, stored in the table together with its rows. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from homma.errors import LakeError


@dataclass(frozen=True, slots=True)
class Offsets:
    """Per partition, the offset after the last record that the table holds.

    `topic_id` is Kafka's: a topic that is deleted and created again gets another one.
    """

    topic: str
    topic_id: str
    next: Mapping[int, int]

    def advanced(self, to: Mapping[int, int]) -> "Offsets":
        """The offsets with some partitions advanced."""
        return replace(self, next=MappingProxyType({**self.next, **to}))

    def text(self) -> str:
        """The offsets as JSON, as stored in a table."""
        after = {str(partition): offset for partition, offset in sorted(self.next.items())}
        return json.dumps({"topic": self.topic, "topicId": self.topic_id, "next": after})


def read_offsets(text: str) -> Offsets:
    """Parse the JSON of `Offsets.text`; LakeError if it is invalid."""
    try:
        fields = json.loads(text)
        after = {int(partition): int(offset) for partition, offset in fields["next"].items()}
        return Offsets(str(fields["topic"]), str(fields["topicId"]), MappingProxyType(after))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"the table property homma.offsets is invalid ({text[:80]})",
            "restore the property from the summary of an earlier snapshot",
        ) from error
