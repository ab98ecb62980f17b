"""Translate connection settings from librdkafka's names to those of Kafka's Java clients. Pure.

The result contains no secrets: the Java clients read the login from the same environment variables
as homma.
"""

from collections.abc import Mapping
from typing import Final

from homma.errors import SettingError

#: Settings with the same name and meaning in both.
_SAME: Final = frozenset(
    {
        "bootstrap.servers",
        "security.protocol",
        "sasl.mechanism",
        "client.id",
        "client.dns.lookup",
        "reconnect.backoff.ms",
        "reconnect.backoff.max.ms",
        "retry.backoff.ms",
        "metadata.max.age.ms",
        "request.timeout.ms",
        "connections.max.idle.ms",
        "ssl.endpoint.identification.algorithm",
    }
)
#: Settings that only librdkafka has and that the Java clients can do without.
_DROPPED: Final = frozenset(
    {
        "sasl.username",
        "sasl.password",
        "log_level",
        "debug",
        "log.connection.close",
        "socket.timeout.ms",
        "socket.keepalive.enable",
        "broker.address.family",
    }
)
_LOGINS: Final = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "SCRAM-SHA-512": "scram.ScramLoginModule",
}


def java_properties(connection: Mapping[str, str], shaded: str = "") -> dict[str, str]:
    """The properties for the Java clients. `shaded` is a prefix for Kafka's own class names.

    Raises SettingError for a setting that the Java clients do not have.
    """
    properties: dict[str, str] = {}
    for name, value in connection.items():
        if name in _SAME:
            properties[name] = value
        elif name == "ssl.ca.location":
            properties |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": value}
        elif name == "enable.ssl.certificate.verification":
            raise _unsupported(name, "pass the CA certificate with -X ssl.ca.location=FILE")
        elif name not in _DROPPED:
            raise _unsupported(
                name, f"remove it or use the embedded engine; supported: {_supported()}"
            )
    if connection.get("security.protocol", "").startswith("SASL"):
        properties |= _login(connection.get("sasl.mechanism", "PLAIN"), shaded)
    return properties


def _login(mechanism: str, shaded: str) -> dict[str, str]:
    """A login that the Java clients read from the environment: they expand `${env:…}`."""
    if mechanism not in _LOGINS:
        raise _unsupported(f"sasl.mechanism={mechanism}", f"use one of {', '.join(_LOGINS)}")
    module = f"{shaded}org.apache.kafka.common.security.{_LOGINS[mechanism]}"
    provider = f"{shaded}org.apache.kafka.common.config.provider.EnvVarConfigProvider"
    return {
        "sasl.jaas.config": f'{module} required username="${{env:KAFKA_SASL_USERNAME}}" '
        'password="${env:KAFKA_SASL_PASSWORD}";',
        "config.providers": "env",
        "config.providers.env.class": provider,
    }


def _supported() -> str:
    return ", ".join(sorted(_SAME))


def _unsupported(name: str, remedy: str) -> SettingError:
    return SettingError(f"Kafka's Java clients, which Flink uses, do not support {name}", remedy)
