"""Create topics and check existing ones."""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from homma.errors import KafkaError, TopicMismatch
from homma.topics.contract import TopicSpec
from homma.topics.kafka.connection import Connection, client_config, create_client
from homma.topics.kafka.triage import call_kafka, to_homma_error

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.05
# A new cluster has no coordinator yet, and librdkafka may wait for one.
_GROUP_S: Final = 3.0


class Admin:
    """Administrative requests to a cluster."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = create_client(AdminClient, client_config(connection))

    def partitions(self, timeout_s: float = _TIMEOUT_S) -> dict[str, int]:
        """The partition count of every topic. Raises Unreachable if no broker answers."""
        metadata = call_kafka(
            "listing topics",
            self._connection,
            lambda: self._client.list_topics(timeout=timeout_s),
        )
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def topic_id(self, topic: str) -> str | None:
        """The id of a topic, or None. A topic that is created again gets another id."""
        future = self._client.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)[
            topic
        ]
        try:
            return str(future.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() == Code.UNKNOWN_TOPIC_OR_PART:
                return None
            raise to_homma_error(error, f"describing topic {topic}", self._connection) from error

    def delete_group(self, group: str) -> None:
        """Delete a group and its offsets. Raises KafkaError if the group has members."""
        future = self._client.delete_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != Code.GROUP_ID_NOT_FOUND:
                raise to_homma_error(error, f"deleting group {group}", self._connection) from error

    def client_ids(self, group: str) -> list[str]:
        """The client ids of a group's members. Raises KafkaError, at once, if it is not known."""
        # librdkafka's newer describe_consumer_groups has aborted the process when the broker was
        # killed meanwhile. list_groups is deprecated, but it is one request without callbacks.
        try:
            groups = self._client.list_groups(group, timeout=_GROUP_S)
        except KafkaException as error:
            if error.args[0].code() == Code.GROUP_ID_NOT_FOUND:
                return []
            if error.args[0].code() == Code._TRANSPORT:
                # A broker that is starting may answer that there are no brokers. A client that
                # was told so looks for them again only minutes later, a new client at once.
                self._client = create_client(AdminClient, client_config(self._connection))
            raise to_homma_error(error, f"describing group {group}", self._connection) from error
        return [str(member.client_id) for found in groups for member in found.members]

    def configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """The settings of topics, including defaults, with Kafka's names and values."""
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        futures = (
            self._client.describe_configs(resources, request_timeout=_TIMEOUT_S)
            if resources
            else {}
        )
        configs = {
            resource.name: call_kafka("reading topic settings", self._connection, future.result)
            for resource, future in futures.items()
        }
        return {
            topic: {entry.name: str(entry.value) for entry in entries.values()}
            for topic, entries in configs.items()
        }

    def ensure(self, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
        """Create the missing topics and return their names.

        Raises TopicMismatch if a topic exists with another partition count. Series would move to
        other partitions, away from the state of their candles.
        """
        counts = self.partitions()
        for spec in specs:
            count = counts.get(spec.name)
            if count is not None and count != spec.partitions:
                raise TopicMismatch(
                    f"topic {spec.name} has {count} partitions, but {spec.partitions} are needed",
                    "delete the topic, or configure another name or partition count",
                )
        missing = [spec for spec in specs if spec.name not in counts]
        if missing:
            self._create(missing, replication_factor)
            self._await({spec.name for spec in missing})
        return [spec.name for spec in missing]

    def _create(self, specs: Sequence[TopicSpec], replication_factor: int) -> None:
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
                # Another process created the topic at the same time, from the same specification.
                if error.args[0].code() != Code.TOPIC_ALREADY_EXISTS:
                    raise to_homma_error(
                        error, f"creating topic {name}", self._connection
                    ) from error

    def _await(self, topics: set[str]) -> None:
        """Wait for the broker, which learns of new topics a little later than the controller."""
        until_s = time.monotonic() + _TIMEOUT_S
        while left := topics - self.partitions().keys():
            if time.monotonic() > until_s:
                raise KafkaError(
                    f"the broker does not list the new topics {', '.join(sorted(left))}",
                    "see the broker's log for the cause",
                )
            time.sleep(_POLL_S)

    def require(self, topic: str) -> int:
        """The partition count of a topic. Raises KafkaError if the topic does not exist."""
        count = self.partitions().get(topic)
        if not count:
            raise KafkaError(
                f"topic {topic} does not exist at {self._connection['bootstrap.servers']}",
                "create it with `homma generate` or `homma up`, or choose another topic with "
                "--topic",
            )
        return count
