"""Whether a topic is still the one that was read: the same, away, or created again.

Kafka gives each topic an id. A topic that is deleted and created again has the same name, another
id, and offsets that begin at 0: what was built from the old topic does not fit the new one.
"""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

from homma.errors import KafkaError

log = logging.getLogger("homma.topics")

# A broker that has just started may not know its topics yet.
_MAX_AWAY_S: Final = 10.0


class TopicState(Enum):
    """A topic, compared with the topic of the same name that was read before."""

    SAME = "same"
    #: There is no such topic right now, or no broker tells.
    AWAY = "away"
    #: There has been no such topic for a while.
    DELETED = "deleted"
    #: The topic was deleted and created again.
    RECREATED = "created again"


def ends_before(end: int, position: int) -> bool:
    """Whether a partition ends before an offset up to which it was read.

    Records do not leave the end of a topic, so the topic was created again, even if its id is the
    same: a backup of the broker may have been restored.
    """
    return end < position


def topic_state(known_id: str, id_now: str | None) -> TopicState:
    """Compare a topic with the one that was known, by their ids."""
    if id_now is None:
        return TopicState.AWAY
    return TopicState.SAME if id_now == known_id else TopicState.RECREATED


class TopicWatch:
    """Tells whether a topic is still the one that was known at first."""

    def __init__(
        self,
        topic: str,
        known_id: str,
        id_now: Callable[[], str | None],
        clock_s: Callable[[], float],
    ) -> None:
        self._topic = topic
        self._known_id = known_id
        self._id_now = id_now
        self._clock_s = clock_s
        self._away_since_s: float | None = None

    def state(self) -> TopicState:
        """The state of the topic now. AWAY if Kafka does not respond, which is logged."""
        try:
            state = topic_state(self._known_id, self._id_now())
        except KafkaError as error:
            log.warning("nothing of %s is committed until Kafka responds: %s", self._topic, error)
            return TopicState.AWAY
        if state is not TopicState.AWAY:
            self._away_since_s = None
            return state
        now_s = self._clock_s()
        if self._away_since_s is None:
            self._away_since_s = now_s
        return TopicState.DELETED if now_s - self._away_since_s > _MAX_AWAY_S else state
