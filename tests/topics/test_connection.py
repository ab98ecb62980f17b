"""Client configuration, and the translation of librdkafka's errors."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from homma.errors import Fenced, HommaError, KafkaDenied, KafkaError, SettingError, Unreachable
from homma.settings import KafkaSettings
from homma.topics.kafka.connection import (
    build_connection,
    client_config,
    create_client,
)
from homma.topics.kafka.triage import call_kafka, to_homma_error

SERVERS = {"bootstrap.servers": "broker:9092"}


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (Code._ALL_BROKERS_DOWN, Unreachable, "--bootstrap.servers"),
        (Code._TRANSPORT, Unreachable, "--bootstrap.servers"),
        (Code._TIMED_OUT, Unreachable, "--bootstrap.servers"),
        (Code._RESOLVE, Unreachable, "--bootstrap.servers"),
        (Code.SASL_AUTHENTICATION_FAILED, KafkaDenied, "KAFKA_SASL_PASSWORD"),
        (Code._AUTHENTICATION, KafkaDenied, "KAFKA_SASL_PASSWORD"),
        (Code.PRODUCER_FENCED, Fenced, "new owner"),
        (Code._FENCED, Fenced, "new owner"),
        (Code.INVALID_PRODUCER_EPOCH, Fenced, "new owner"),
        (Code.UNKNOWN_MEMBER_ID, Fenced, "new owner"),
        # The group is rebalancing: the client is still a member and tries again.
        (Code.ILLEGAL_GENERATION, KafkaError, "log"),
        (Code.TOPIC_AUTHORIZATION_FAILED, KafkaDenied, "kafka-acls"),
    ],
)
def test_translated_errors_name_the_servers_and_a_remedy(
    code: int, kind: type[HommaError], word: str
) -> None:
    homma_error = to_homma_error(KafkaException(Code(code, "its reason")), "reading ticks", SERVERS)
    assert type(homma_error) is kind
    assert homma_error.problem.startswith("reading ticks at broker:9092 failed")
    assert "its reason" in homma_error.problem
    assert word in homma_error.remedy


def failing(times: int, code: int) -> Callable[[], str]:
    remaining = [times]

    def call() -> str:
        if remaining[0]:
            remaining[0] -= 1
            raise KafkaException(Code(code))
        return "done"

    return call


def test_calls_are_retried_while_a_topic_is_being_created() -> None:
    assert call_kafka("reading", SERVERS, failing(2, Code.NOT_LEADER_FOR_PARTITION)) == "done"


def test_other_errors_are_not_retried() -> None:
    with pytest.raises(Unreachable):
        call_kafka("reading", SERVERS, failing(1, Code._TRANSPORT))


def test_the_login_is_not_a_setting() -> None:
    settings = KafkaSettings(security_protocol="SASL_SSL", bootstrap_servers="b:1")
    config = build_connection(settings, {}, "me", "secret")
    assert config["sasl.username"] == "me"
    assert config["sasl.password"] == "secret"
    assert config["security.protocol"] == "SASL_SSL"
    with pytest.raises(SettingError, match="KAFKA_SASL_USERNAME"):
        build_connection(settings, {}, "me", None)


def test_without_sasl_the_login_is_not_used() -> None:
    assert "sasl.password" not in build_connection(KafkaSettings(), {}, "me", "secret")


def test_librdkafka_names_take_precedence() -> None:
    config = build_connection(
        KafkaSettings(), {"bootstrap.servers": "other:1", "linger.ms": "7"}, None, None
    )
    assert client_config(config, linger_ms=5)["linger.ms"] == "7"
    assert client_config(config)["bootstrap.servers"] == "other:1"


def test_an_unknown_property_is_named() -> None:
    with pytest.raises(SettingError, match=r"no\.such\.property"):
        create_client(Producer, {"no.such.property": "1"})
