"""A user whose login is rejected, or who lacks a permission: a real broker with ACLs."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from homma.errors import KafkaDenied, KafkaError, TopicMissing
from homma.settings import KafkaSettings
from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection, build_connection
from homma.topics.kafka.consumer import PartitionConsumer
from homma.topics.kafka.profiles import ASSIGNED, GROUP_MEMBER
from tests.support.consuming import read_on
from tests.support.second_listener import Listener, listening
from tests.support.waiting import free_ports

TOPIC = "kept_secret"
PASSWORD = "a-secret-of-this-test"
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required"
    f' username="admin" password="x" user_guest="{PASSWORD}";'
)
ACLS = (
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users=User:ANONYMOUS",
)


@dataclass(frozen=True)
class Secured:
    """The addresses of a broker's open port, whose users may do everything, and secured port."""

    bootstrap: str
    secured: str

    def guest(self, password: str = PASSWORD) -> Connection:
        """The connection of a user who has a login and no permission."""
        settings = KafkaSettings(bootstrap_servers=self.secured, security_protocol="SASL_PLAINTEXT")
        return build_connection(settings, {}, "guest", password)


@pytest.fixture(scope="module")
def broker(jars: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    [port] = free_ports(1)
    listener = Listener("SASL_PLAINTEXT", "SASL_PLAINTEXT", port, advertised=port)
    login = f"listener.name.sasl_plaintext.plain.sasl.jaas.config={LOGIN}"
    lines = ("sasl.enabled.mechanisms=PLAIN", login, *ACLS)
    folder = tmp_path_factory.mktemp("denied")
    with listening(folder, jars, listener, *lines) as bootstrap:
        Admin({"bootstrap.servers": bootstrap}).ensure([TopicSpec(TOPIC, 1, {})], 1)
        yield Secured(bootstrap, f"127.0.0.1:{port}")


def test_a_group_without_permission_is_denied(broker: Secured) -> None:
    with closing(PartitionConsumer(broker.guest(), GROUP_MEMBER, group_id="kept")) as consumer:
        consumer.client.subscribe([TOPIC])
        with pytest.raises(KafkaDenied, match="AUTHORIZATION_FAILED") as denied:
            read_on(consumer)
    assert "kafka-acls" in denied.value.remedy


def test_a_topic_without_permission_looks_missing_and_the_remedy_names_both(
    broker: Secured,
) -> None:
    with (
        closing(PartitionConsumer(broker.guest(), ASSIGNED)) as consumer,
        pytest.raises(TopicMissing, match="let this user read it"),
    ):
        consumer.offset_range((TOPIC, 0))


def test_creating_a_topic_without_permission_is_denied(broker: Secured) -> None:
    with pytest.raises(KafkaDenied, match="AUTHORIZATION_FAILED"):
        Admin(broker.guest()).ensure([TopicSpec("mine", 1, {})], 1)


def test_a_rejected_login_looks_like_an_unreachable_broker_and_the_remedy_names_both(
    broker: Secured,
) -> None:
    with pytest.raises(KafkaError) as rejected:
        Admin(broker.guest("wrong")).partitions(2)
    assert "KAFKA_SASL_PASSWORD" in rejected.value.remedy
