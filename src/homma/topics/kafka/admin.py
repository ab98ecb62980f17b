"""Topics: made idempotently, compared with the contract, never silently used otherwise."""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from homma.errors import KafkaError, TopicMismatch
from homma.topics.contract import TopicSpec
from homma.topics.kafka.connection import Connection, calling, client_config, create, explained

_TIMEOUT_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.05


class Admin:
    """What is asked of a cluster beside reading and writing. Timeouts are seconds."""

    def __init__(self, config: Connection) -> None:
        self._config = config
        self._client = create(AdminClient, client_config(config))

    def partitions(self, timeout_s: float = _TIMEOUT_S) -> dict[str, int]:
        """Every topic with its partition count; the plain proof that a broker answers."""
        metadata = calling(
            "asking for the topics",
            self._config,
            lambda: self._client.list_topics(timeout=timeout_s),
        )
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def topic_id(self, topic: str) -> str | None:
        """The id that a topic gets when it is made: made again, it has another. None: no topic."""
        future = self._client.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)[
            topic
        ]
        try:
            return str(future.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() == Code.UNKNOWN_TOPIC_OR_PART:
                return None
            raise explained(error, f"describing topic {topic}", self._config) from error

    def forget_group(self, group: str) -> None:
        """Delete a group's offsets; KafkaError where it has members."""
        future = self._client.delete_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != Code.GROUP_ID_NOT_FOUND:
                raise explained(error, f"deleting group {group}", self._config) from error

    def configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """The settings of topics, defaults included, in Kafka's names and texts."""
        asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        futures = self._client.describe_configs(asked, request_timeout=_TIMEOUT_S) if asked else {}
        found = {
            resource.name: calling("asking for settings", self._config, future.result)
            for resource, future in futures.items()
        }
        return {
            topic: {entry.name: str(entry.value) for entry in entries.values()}
            for topic, entries in found.items()
        }

    def ensure(self, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
        """Make the topics that are missing and return their names.

        Raises TopicMismatch where one is there with another partition count: series would move,
        and candles would stand in other partitions than the state they belong to.
        """
        found = self.partitions()
        for spec in specs:
            count = found.get(spec.name)
            if count is not None and count != spec.partitions:
                raise TopicMismatch(
                    f"topic {spec.name} has {count} partitions where {spec.partitions} are needed",
                    "delete it, or choose another name or number of partitions for it",
                )
        missing = [spec for spec in specs if spec.name not in found]
        if missing:
            self._make(missing, replication_factor)
            self._await({spec.name for spec in missing})
        return [spec.name for spec in missing]

    def _make(self, specs: Sequence[TopicSpec], replication_factor: int) -> None:
        futures = self._client.create_topics(
            [
                NewTopic(
                    spec.name,
                    num_partitions=spec.partitions,
                    replication_factor=replication_factor,
                    config=dict(spec.config),
                )
                for spec in specs
            ],
            request_timeout=_TIMEOUT_S,
        )
        for name, future in futures.items():
            try:
                future.result()
            except KafkaException as error:
                # Another process made it at the same moment, of the same contract.
                if error.args[0].code() != Code.TOPIC_ALREADY_EXISTS:
                    raise explained(error, f"making topic {name}", self._config) from error

    def _await(self, topics: set[str]) -> None:
        """A broker knows of a topic a little later than its controller."""
        until_s = time.monotonic() + _TIMEOUT_S
        while left := topics - self.partitions().keys():
            if time.monotonic() > until_s:
                raise KafkaError(
                    f"the broker does not know {', '.join(sorted(left))}, which it has made",
                    "see the broker's log for the cause",
                )
            time.sleep(_LOOK_AGAIN_S)

    def require(self, topic: str) -> int:
        """The partition count of a topic; KafkaError where there is none of that name."""
        count = self.partitions().get(topic)
        if not count:
            raise KafkaError(
                f"there is no topic {topic} at {self._config['bootstrap.servers']}",
                "start `homma generate` or `homma up`, which make it, or name another with --topic",
            )
        return count
