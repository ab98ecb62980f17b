"""Clients' configuration, and what librdkafka's errors become."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from homma.errors import Fenced, HommaError, KafkaError, SettingError, Unreachable
from homma.settings import KafkaSettings
from homma.topics.kafka.connection import calling, client_config, connection, create, explained

SERVERS = {"bootstrap.servers": "broker:9092"}


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (Code._ALL_BROKERS_DOWN, Unreachable, "--bootstrap.servers"),
        (Code._TRANSPORT, Unreachable, "--bootstrap.servers"),
        (Code._TIMED_OUT, Unreachable, "--bootstrap.servers"),
        (Code._RESOLVE, Unreachable, "--bootstrap.servers"),
        (Code.SASL_AUTHENTICATION_FAILED, KafkaError, "KAFKA_SASL_PASSWORD"),
        (Code._AUTHENTICATION, KafkaError, "KAFKA_SASL_PASSWORD"),
        (Code.PRODUCER_FENCED, Fenced, "new owner"),
        (Code._FENCED, Fenced, "new owner"),
        (Code.INVALID_PRODUCER_EPOCH, Fenced, "new owner"),
        (Code.UNKNOWN_MEMBER_ID, Fenced, "new owner"),
        # Somebody has joined the group: it is still a member, and tries again.
        (Code.ILLEGAL_GENERATION, KafkaError, "log"),
        (Code.TOPIC_AUTHORIZATION_FAILED, KafkaError, "log"),
    ],
)
def test_every_foreign_error_says_where_and_what_to_do(
    code: int, kind: type[HommaError], word: str
) -> None:
    told = explained(KafkaException(Code(code, "its reason")), "reading ticks", SERVERS)
    assert type(told) is kind
    assert told.what.startswith("reading ticks at broker:9092 failed")
    assert "its reason" in told.what
    assert word in told.remedy


def failing(times: int, code: int) -> Callable[[], str]:
    left = [times]

    def call() -> str:
        if left[0]:
            left[0] -= 1
            raise KafkaException(Code(code))
        return "done"

    return call


def test_a_topic_that_is_just_being_made_is_waited_for() -> None:
    assert calling("reading", SERVERS, failing(2, Code.NOT_LEADER_FOR_PARTITION)) == "done"


def test_other_errors_are_not_waited_for() -> None:
    with pytest.raises(Unreachable):
        calling("reading", SERVERS, failing(1, Code._TRANSPORT))


def test_a_login_comes_from_outside_the_settings() -> None:
    settings = KafkaSettings(security_protocol="SASL_SSL", bootstrap_servers="b:1")
    config = connection(settings, {}, "me", "secret")
    assert config["sasl.username"] == "me"
    assert config["sasl.password"] == "secret"
    assert config["security.protocol"] == "SASL_SSL"
    with pytest.raises(SettingError, match="KAFKA_SASL_USERNAME"):
        connection(settings, {}, "me", None)


def test_without_sasl_a_login_is_left_out() -> None:
    assert "sasl.password" not in connection(KafkaSettings(), {}, "me", "secret")


def test_librdkafkas_own_names_win() -> None:
    config = connection(
        KafkaSettings(), {"bootstrap.servers": "other:1", "linger.ms": "7"}, None, None
    )
    assert client_config(config, linger_ms=5)["linger.ms"] == "7"
    assert client_config(config)["bootstrap.servers"] == "other:1"


def test_a_property_that_librdkafka_does_not_know_is_named() -> None:
    with pytest.raises(SettingError, match=r"no\.such\.property"):
        create(Producer, {"no.such.property": "1"})
