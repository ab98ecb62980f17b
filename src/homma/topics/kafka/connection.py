"""How clients are configured, and what their errors become."""

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

# Not ILLEGAL_GENERATION: a member has come or gone, and this one is still there. To one that is
# not any more the broker says UNKNOWN_MEMBER_ID.
_FENCED: Final = {
    Code.PRODUCER_FENCED,
    Code._FENCED,
    Code.INVALID_PRODUCER_EPOCH,
    Code.UNKNOWN_MEMBER_ID,
    Code.FENCED_INSTANCE_ID,
    # What a producer says once it has been fenced, whatever it is asked.
    Code._FATAL,
}
_UNREACHABLE: Final = {
    Code._ALL_BROKERS_DOWN,
    Code._TRANSPORT,
    Code._TIMED_OUT,
    Code._RESOLVE,
}
_SETTLING: Final = {
    Code.NOT_LEADER_FOR_PARTITION,
    Code.LEADER_NOT_AVAILABLE,
    Code.COORDINATOR_LOAD_IN_PROGRESS,
    Code.COORDINATOR_NOT_AVAILABLE,
    Code.NOT_COORDINATOR,
}
_SETTLED_WITHIN_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.1
_LOGIN: Final = {Code._AUTHENTICATION, Code.SASL_AUTHENTICATION_FAILED}


def connection(
    settings: KafkaSettings,
    extra: Mapping[str, str],
    username: str | None,
    password: str | None,
) -> Connection:
    """What every client is given; `extra` is librdkafka's own names and wins."""
    config = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        # Reconnect soon after a broker's restart.
        "reconnect.backoff.max.ms": "1000",
    }
    if settings.security_protocol.startswith("SASL"):
        if not (username and password):
            raise SettingError(
                f"security.protocol is {settings.security_protocol}, but there is no login",
                "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
            )
        config |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": username,
            "sasl.password": password,
        }
    return config | dict(extra)


def client_config(config: Connection, **more: str | int | bool) -> dict[str, Any]:
    """A client's configuration: `more` has underscores for librdkafka's dots.

    What librdkafka logs goes to the logger of this module: errors also reach us as exceptions.
    """
    named = {name.replace("_", "."): value for name, value in more.items()}
    return {**named, **config, "logger": log}


def create(make: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """A client; SettingError where librdkafka does not take its configuration."""
    try:
        return make(config)
    except KafkaException as error:
        reason = error.args[0].str()
        raise SettingError(
            f"librdkafka refuses the configuration ({reason})",
            "see its CONFIGURATION.md for the names and values it takes",
        ) from error


def explained(error: KafkaException, doing: str, config: Connection) -> HommaError:
    """One of our errors for librdkafka's."""
    cause: Code = error.args[0]
    servers = config.get("bootstrap.servers", "?")
    what = f"{doing} at {servers} failed ({cause.name()}: {cause.str()})"
    if cause.code() in _FENCED:
        return Fenced(what, "nothing to do: the new owner goes on from the committed offset")
    if cause.code() in _LOGIN:
        return KafkaError(what, "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and sasl.mechanism")
    if cause.code() in _UNREACHABLE:
        remedy = "start Kafka there, or name another with --bootstrap.servers"
        if config.get("security.protocol", "").startswith("SASL"):
            # A refused login looks the same from here.
            remedy = f"check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or {remedy}"
        return Unreachable(what, remedy)
    return KafkaError(what, "see the broker's log for the cause")


def calling(doing: str, config: Connection, call: Callable[[], T]) -> T:
    """The result of a client's call; one of our errors where librdkafka raises its own.

    A topic that was made a moment ago, or whose broker has just started, is waited for.
    """
    until_s = time.monotonic() + _SETTLED_WITHIN_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING or time.monotonic() > until_s:
                raise explained(error, doing, config) from error
        time.sleep(_LOOK_AGAIN_S)
