"""A connection as Kafka's Java clients want it: from librdkafka's names to theirs. Pure.

Secrets do not appear: the clients read the login from their own environment, where it stands under
the names that homma reads it from too.
"""

from collections.abc import Mapping
from typing import Final

from homma.errors import SettingError

#: Names that both have, and mean the same.
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
#: What only librdkafka has, and Java's clients can do without.
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
    """The properties for Java's clients; `shaded` stands before the names of Kafka's own classes.

    Raises SettingError for a name that has no counterpart there.
    """
    found: dict[str, str] = {}
    for name, value in connection.items():
        if name in _SAME:
            found[name] = value
        elif name == "ssl.ca.location":
            found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": value}
        elif name == "enable.ssl.certificate.verification":
            raise _foreign(name, "give the authority's certificate by -X ssl.ca.location=FILE")
        elif name not in _DROPPED:
            raise _foreign(name, f"leave it out, or run the embedded engine; known are {_known()}")
    if connection.get("security.protocol", "").startswith("SASL"):
        found |= _login(connection.get("sasl.mechanism", "PLAIN"), shaded)
    return found


def _login(mechanism: str, shaded: str) -> dict[str, str]:
    """A login from the environment: Java's clients put in what `${env:…}` names."""
    if mechanism not in _LOGINS:
        raise _foreign(f"sasl.mechanism={mechanism}", f"use one of {', '.join(_LOGINS)}")
    module = f"{shaded}org.apache.kafka.common.security.{_LOGINS[mechanism]}"
    provider = f"{shaded}org.apache.kafka.common.config.provider.EnvVarConfigProvider"
    return {
        "sasl.jaas.config": f'{module} required username="${{env:KAFKA_SASL_USERNAME}}" '
        'password="${env:KAFKA_SASL_PASSWORD}";',
        "config.providers": "env",
        "config.providers.env.class": provider,
    }


def _known() -> str:
    return ", ".join(sorted(_SAME))


def _foreign(name: str, remedy: str) -> SettingError:
    return SettingError(f"Kafka's Java clients, which Flink uses, do not have {name}", remedy)
