"""The connection to Kafka, and the configuration of clients."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from homma.errors import SettingError
from homma.settings import KafkaSettings

#: How to reach Kafka: librdkafka's names and values, which all clients share.
Connection = Mapping[str, str]
T = TypeVar("T")

log = logging.getLogger("homma.kafka")


def build_connection(
    settings: KafkaSettings,
    extra: Mapping[str, str],
    username: str | None,
    password: str | None,
) -> Connection:
    """The connection of all clients. `extra` has librdkafka's names and takes precedence."""
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


def client_config(connection: Connection, **more: str | int | bool) -> dict[str, Any]:
    """The configuration of one client. Names in `more` have underscores instead of dots.

    librdkafka logs to this module's logger.
    """
    options = {name.replace("_", "."): value for name, value in more.items()}
    return {**options, **connection, "logger": log}


def create_client(make: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """Create a client. Raises SettingError if librdkafka rejects the configuration."""
    # Commands that print their help need this module, but no client.
    from confluent_kafka import KafkaException  # noqa: PLC0415

    try:
        return make(config)
    except KafkaException as error:
        reason = error.args[0].str()
        raise SettingError(
            f"librdkafka rejected the configuration ({reason})",
            "see librdkafka's CONFIGURATION.md for valid names and values",
        ) from error
