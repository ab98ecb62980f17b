"""What an error of librdkafka means, and homma's error for it.

Each kind of error has one row in KINDS. A call of a client raises the row's error; a reader raises
it too, unless its profile (`profiles.py`) says that it goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException

from homma.errors import (
    Fenced,
    KafkaDenied,
    KafkaError,
    OffsetGone,
    TopicMissing,
    Unreachable,
)
from homma.topics.kafka.connection import Connection

T = TypeVar("T")

_READY_WITHIN_S: Final = 10.0
_RETRY_S: Final = 0.1


class ErrorKind(Enum):
    """What an error means."""

    #: A topic or a coordinator is being created or moved. It is worth trying again.
    NOT_READY = auto()
    #: No broker answers. librdkafka reconnects by itself.
    UNREACHABLE = auto()
    #: The next offset of a partition no longer exists.
    OFFSET_GONE = auto()
    TOPIC_MISSING = auto()
    #: Another owner has taken over.
    FENCED = auto()
    #: The login was rejected.
    LOGIN = auto()
    #: The login was accepted, but the user lacks a permission.
    UNAUTHORIZED = auto()
    #: Any other error.
    FATAL = auto()


@dataclass(frozen=True, slots=True)
class _Row:
    """The codes of a kind, and homma's error with its remedy."""

    codes: frozenset[int]
    error: type[KafkaError]
    remedy: str


_SEE_LOG: Final = "see the broker's log for the cause"
_LOGIN: Final = "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and sasl.mechanism"
_START: Final = (
    "start Kafka there, or set another address with --bootstrap.servers, or the folder of a "
    "`homma up` with --dir"
)

KINDS: Final = {
    ErrorKind.NOT_READY: _Row(
        frozenset(
            {
                Code.NOT_LEADER_FOR_PARTITION,
                Code.LEADER_NOT_AVAILABLE,
                Code.COORDINATOR_LOAD_IN_PROGRESS,
                Code.COORDINATOR_NOT_AVAILABLE,
                Code.NOT_COORDINATOR,
            }
        ),
        KafkaError,
        _SEE_LOG,
    ),
    ErrorKind.UNREACHABLE: _Row(
        frozenset({Code._ALL_BROKERS_DOWN, Code._TRANSPORT, Code._TIMED_OUT, Code._RESOLVE}),
        Unreachable,
        _START,
    ),
    ErrorKind.OFFSET_GONE: _Row(
        frozenset({Code._AUTO_OFFSET_RESET, Code.OFFSET_OUT_OF_RANGE}),
        OffsetGone,
        "retention deleted the records, or the topic was deleted and created again: start again, "
        "and the error says which",
    ),
    ErrorKind.TOPIC_MISSING: _Row(
        frozenset(
            {
                Code.UNKNOWN_TOPIC_OR_PART,
                Code.UNKNOWN_TOPIC_ID,
                Code._UNKNOWN_TOPIC,
                Code._UNKNOWN_PARTITION,
            }
        ),
        TopicMissing,
        # To a user without permission, a topic may look the same.
        "create the topic, name another one, or let this user read it",
    ),
    # Without ILLEGAL_GENERATION: it means that the group is rebalancing and this client is still a
    # member. A client that is no longer a member gets UNKNOWN_MEMBER_ID.
    ErrorKind.FENCED: _Row(
        frozenset(
            {
                Code.PRODUCER_FENCED,
                Code._FENCED,
                Code.INVALID_PRODUCER_EPOCH,
                Code.UNKNOWN_MEMBER_ID,
                Code.FENCED_INSTANCE_ID,
                # The error of every call of a fenced producer.
                Code._FATAL,
            }
        ),
        Fenced,
        "no action is needed: the new owner continues from the committed offset",
    ),
    ErrorKind.LOGIN: _Row(
        frozenset({Code._AUTHENTICATION, Code.SASL_AUTHENTICATION_FAILED}),
        KafkaDenied,
        f"check {_LOGIN}",
    ),
    ErrorKind.UNAUTHORIZED: _Row(
        frozenset(
            {
                Code.TOPIC_AUTHORIZATION_FAILED,
                Code.GROUP_AUTHORIZATION_FAILED,
                Code.CLUSTER_AUTHORIZATION_FAILED,
                Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            }
        ),
        KafkaDenied,
        "give the user this permission with kafka-acls, or log in as another user",
    ),
    ErrorKind.FATAL: _Row(frozenset(), KafkaError, _SEE_LOG),
}
_KIND_OF: Final = {code: kind for kind, row in KINDS.items() for code in row.codes}


def kind_of(error: Code) -> ErrorKind:
    """What an error means."""
    return _KIND_OF.get(error.code(), ErrorKind.FATAL)


def to_homma_error(error: KafkaException, doing: str, connection: Connection) -> KafkaError:
    """Translate librdkafka's error."""
    cause: Code = error.args[0]
    row = KINDS[kind_of(cause)]
    servers = connection.get("bootstrap.servers", "?")
    remedy = row.remedy
    if row.error is Unreachable and connection.get("security.protocol", "").startswith("SASL"):
        # To the client, a rejected login looks the same.
        remedy = f"check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or {remedy}"
    return row.error(f"{doing} at {servers} failed ({cause.name()}: {cause.str()})", remedy)


def call_kafka(doing: str, connection: Connection, call: Callable[[], T]) -> T:
    """Call a client and translate its errors.

    Retries for a while if a topic was just created or its broker just started.
    """
    until_s = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            return call()
        except KafkaException as error:
            if kind_of(error.args[0]) is not ErrorKind.NOT_READY or time.monotonic() > until_s:
                raise to_homma_error(error, doing, connection) from error
        time.sleep(_RETRY_S)
