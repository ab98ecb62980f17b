"""Client configuration, and the translation of librdkafka's errors."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException

from homma.errors import Fenced, HommaError, KafkaError, SettingError, Unreachable
from homma.settings import KafkaSettings

#: librdkafka's configuration: names and values.
Connection = Mapping[str, str]
T = TypeVar("T")

log = logging.getLogger("homma.kafka")

# Without ILLEGAL_GENERATION: it means that the group is rebalancing and this client is still a
# member. A client that is no longer a member gets UNKNOWN_MEMBER_ID.
_FENCED: Final = {
    Code.PRODUCER_FENCED,
    Code._FENCED,
    Code.INVALID_PRODUCER_EPOCH,
    Code.UNKNOWN_MEMBER_ID,
    Code.FENCED_INSTANCE_ID,
    # The error of every call of a fenced producer.
    Code._FATAL,
}
_UNREACHABLE: Final = {
    Code._ALL_BROKERS_DOWN,
    Code._TRANSPORT,
    Code._TIMED_OUT,
    Code._RESOLVE,
}
_NOT_READY: Final = {
    Code.NOT_LEADER_FOR_PARTITION,
    Code.LEADER_NOT_AVAILABLE,
    Code.COORDINATOR_LOAD_IN_PROGRESS,
    Code.COORDINATOR_NOT_AVAILABLE,
    Code.NOT_COORDINATOR,
}
_READY_WITHIN_S: Final = 10.0
_RETRY_S: Final = 0.1
_LOGIN: Final = {Code._AUTHENTICATION, Code.SASL_AUTHENTICATION_FAILED}


def connection(
    settings: KafkaSettings,
    extra: Mapping[str, str],
    username: str | None,
    password: str | None,
) -> Connection:
    """The configuration of all clients. `extra` has librdkafka's names and takes precedence."""
    config = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        # Reconnect quickly after a broker restart.
        "reconnect.backoff.max.ms": "1000",
    }
    if settings.security_protocol.startswith("SASL"):
        if not (username and password):
            raise SettingError(
                f"security.protocol is {settings.security_protocol}, but no login is set",
                "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
            )
        config |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": username,
            "sasl.password": password,
        }
    return config | dict(extra)


def client_config(config: Connection, **more: str | int | bool) -> dict[str, Any]:
    """The configuration of one client. Names in `more` have underscores instead of dots.

    librdkafka logs to this module's logger.
    """
    options = {name.replace("_", "."): value for name, value in more.items()}
    return {**options, **config, "logger": log}


def create_client(make: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """Create a client. Raises SettingError if librdkafka rejects the configuration."""
    try:
        return make(config)
    except KafkaException as error:
        reason = error.args[0].str()
        raise SettingError(
            f"librdkafka rejected the configuration ({reason})",
            "see librdkafka's CONFIGURATION.md for valid names and values",
        ) from error


def to_homma_error(error: KafkaException, doing: str, config: Connection) -> HommaError:
    """Translate librdkafka's error to a HommaError."""
    cause: Code = error.args[0]
    servers = config.get("bootstrap.servers", "?")
    problem = f"{doing} at {servers} failed ({cause.name()}: {cause.str()})"
    if cause.code() in _FENCED:
        return Fenced(
            problem, "no action is needed: the new owner continues from the committed offset"
        )
    if cause.code() in _LOGIN:
        return KafkaError(
            problem, "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and sasl.mechanism"
        )
    if cause.code() in _UNREACHABLE:
        remedy = "start Kafka there, or set another address with --bootstrap.servers"
        if config.get("security.protocol", "").startswith("SASL"):
            # To the client, a rejected login looks the same.
            remedy = f"check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or {remedy}"
        return Unreachable(problem, remedy)
    return KafkaError(problem, "see the broker's log for the cause")


def call_kafka(doing: str, config: Connection, call: Callable[[], T]) -> T:
    """Call a client and translate its errors.

    Retries for a while if a topic was just created or its broker just started.
    """
    until_s = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_READY or time.monotonic() > until_s:
                raise to_homma_error(error, doing, config) from error
        time.sleep(_RETRY_S)
