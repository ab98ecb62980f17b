"""Producers: idempotent for ticks, transactional for candles."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer, TopicPartition

from homma.errors import Aborted, Fenced, KafkaError, OutcomeUnknown
from homma.failpoint import OnStep, Step, ignore_step
from homma.topics.contract import Headers
from homma.topics.kafka.connection import Connection, client_config, create_client, log
from homma.topics.kafka.triage import to_homma_error

#: The partition of a topic at which `commit` notes metadata.
NOTED_PARTITION: Final = 0
#: The key decides the partition.
ANY_PARTITION: Final = -1
# The partitioner of Kafka's Java clients, so that producers in any language use one partition per
# series.
_PARTITIONER: Final = "murmur2_random"
# The size of librdkafka's queue: one transaction of many series fits.
_QUEUE: Final = 1_000_000
_QUEUE_KIB: Final = 512 * 1024


class Sender:
    """An idempotent producer, acks=all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._failed: Code | None = None
        self._producer = create_client(
            Producer,
            client_config(
                connection,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                partitioner=_PARTITIONER,
                delivery_report_only_error=True,
                message_max_bytes=2_000_000,
            )
            | {"on_delivery": self._on_delivery},
        )

    def _on_delivery(self, error: Code | None, _message: Message) -> None:
        self._failed = self._failed or error

    def send(self, topic: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Queue records. Waits while librdkafka's queue is full."""
        produce = self._producer.produce
        for key, value in zip(keys, values, strict=True):
            while True:
                try:
                    produce(topic, value, key)
                    break
                except BufferError:
                    self.poll(0.05)
        self.poll(0)

    def poll(self, timeout_s: float) -> None:
        """Handle delivery reports. Raises KafkaError if a record could not be delivered."""
        self._producer.poll(timeout_s)
        self._raise_failed()

    def flush(self, timeout_s: float) -> int:
        """Wait for acknowledgements. Returns the number of records not yet acknowledged."""
        unacknowledged = self._producer.flush(timeout_s)
        self._raise_failed()
        return unacknowledged

    @property
    def waiting(self) -> int:
        """The number of records not yet acknowledged."""
        return len(self._producer)

    def _raise_failed(self) -> None:
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise to_homma_error(KafkaException(error), "sending records", self._connection)


_RESUMES: Final = "no action is needed: the work resumes from the last commit"
_INIT_S: Final = 10.0
_STEP_S: Final = 5.0
_GRACE_S: Final = 1.0


class BoundedCalls:
    """Runs calls that may never return, each in a thread that can be abandoned.

    Transaction calls have a timeout in librdkafka. If the broker is killed during a call, the call
    can still block forever. Closing a producer blocks until the broker has rolled back its
    transaction.
    """

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether a call was abandoned."""
        return self._stuck is not None

    def call(self, call: Callable[[], None], within_s: float) -> None:
        """Run a call after the abandoned one, if any. Raises the call's exceptions.

        Raises TimeoutError if the call does not return within `within_s`.
        """
        done: Future[None] = Future()
        previous = self._stuck

        def run() -> None:
            if previous is not None:
                previous.join()
            try:
                call()
                done.set_result(None)
            except Exception as error:  # noqa: BLE001  raised in the caller's thread
                done.set_exception(error)

        thread = threading.Thread(target=run, name="transaction step", daemon=True)
        thread.start()
        try:
            done.result(within_s)
        except TimeoutError:
            self._stuck = thread
            raise


class Transactions:
    """A transactional producer. Methods raise Aborted, Fenced or OutcomeUnknown.

    After Fenced or OutcomeUnknown, create a new producer: its `init` ends the transaction that the
    old producer left open.
    """

    def __init__(
        self,
        connection: Connection,
        transactional_id: str,
        timeout_ms: int,
        clock_s: Callable[[], float] = time.monotonic,
        on_step: OnStep = ignore_step,
    ) -> None:
        self._connection = connection
        self._deadline_s = timeout_ms / 1000
        self._bounded = BoundedCalls()
        self._clock_s = clock_s
        self._on_step = on_step
        self._producer = create_client(
            Producer,
            client_config(
                connection,
                transactional_id=transactional_id,
                partitioner=_PARTITIONER,
                transaction_timeout_ms=timeout_ms,
                compression_type="lz4",
                linger_ms=5,
                queue_buffering_max_messages=_QUEUE,
                queue_buffering_max_kbytes=_QUEUE_KIB,
                delivery_report_only_error=True,
                message_max_bytes=2_000_000,
            ),
        )

    def init(self) -> None:
        """Take over the transactional id and end the previous producer's transaction."""
        self._step(
            "taking over the partition", lambda: self._producer.init_transactions(_INIT_S), _INIT_S
        )

    def begin(self) -> None:
        """Begin a transaction."""
        self._step("beginning a transaction", self._producer.begin_transaction)
        self._on_step(Step.BEGUN)

    def send(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps_ms: Sequence[int],
        headers: Sequence[Headers],
    ) -> None:
        """Send records of one topic to a partition, or to ANY_PARTITION by their keys."""
        produce = self._producer.produce
        rows = zip(keys, values, timestamps_ms, headers, strict=True)
        for key, value, timestamp_ms, record_headers in rows:
            while True:
                try:
                    produce(
                        topic, value, key, partition, timestamp=timestamp_ms, headers=record_headers
                    )
                    break
                except BufferError:
                    self._producer.poll(0.05)
                except KafkaException as error:
                    raise self._transaction_error(error, "writing candles") from error

    def commit(
        self,
        topic: str,
        partition: int,
        offset: int,
        metadata: str,
        group_metadata: object,
        noted_at: str = "",
    ) -> None:
        """Commit the records and the input offset. `group_metadata` is from GroupReader.

        The metadata is also noted at the first partition of another topic, where it stays when the
        topic of the offset is deleted.
        """
        self._on_step(Step.SENT)
        positions = [TopicPartition(topic, partition, offset, metadata)]
        if noted_at:
            positions.append(TopicPartition(noted_at, NOTED_PARTITION, 0, metadata))
        self._step(
            "adding the offset to the transaction",
            lambda: self._producer.send_offsets_to_transaction(positions, group_metadata, _STEP_S),
        )
        self._on_step(Step.OFFSET_ADDED)
        self._step("committing a transaction", lambda: self._producer.commit_transaction(_STEP_S))
        self._on_step(Step.COMMITTED)

    def clear_pending_offset(self, topic: str, partition: int, group_metadata: object) -> None:
        """Clear an offset that an old transaction of this id left pending in the group.

        If broker and engine die together, the coordinator may forget the transaction, so `init`
        has nothing to end. The group keeps waiting for the transaction and returns no offset.
        Rolling back a new transaction clears everything that is pending for this producer.
        """
        self.begin()
        position = TopicPartition(topic, partition, 0)
        self._step(
            "adding an offset to a transaction to be rolled back",
            lambda: self._producer.send_offsets_to_transaction([position], group_metadata, _STEP_S),
        )
        self.abort()

    def abort(self) -> None:
        """Roll back the transaction."""
        self._step("aborting a transaction", lambda: self._producer.abort_transaction(_STEP_S))

    def close(self) -> None:
        """Close the connections. An open transaction is rolled back."""
        with suppress(TimeoutError):
            self._bounded.call(self._close, 0 if self._bounded.is_stuck else _GRACE_S)

    def _close(self) -> None:
        self._producer.purge()
        try:
            self._producer.close()
        except (KafkaException, SystemError) as error:
            # Closing rolls back an open transaction. This fails if another producer has already
            # done so, and can fail with a SystemError if no broker is reachable.
            log.debug("closing a producer: %s", error)

    def _step(self, doing: str, call: Callable[[], None], within_s: float = _STEP_S) -> None:
        """Run one step of a transaction. Retries while librdkafka reports a retriable error."""
        until_s = self._clock_s() + self._deadline_s
        while True:
            try:
                return self._bounded.call(call, within_s + _GRACE_S)
            except KafkaException as error:
                cause: Code = error.args[0]
                if cause.txn_requires_abort() or not cause.retriable() or self._clock_s() > until_s:
                    raise self._transaction_error(error, doing) from error
            except TimeoutError as error:
                raise OutcomeUnknown(
                    f"{doing} at {self._connection['bootstrap.servers']} did not return", _RESUMES
                ) from error

    def _transaction_error(self, error: KafkaException, doing: str) -> KafkaError:
        cause: Code = error.args[0]
        homma_error = to_homma_error(error, doing, self._connection)
        if isinstance(homma_error, Fenced):
            return homma_error
        kind = Aborted if cause.txn_requires_abort() else OutcomeUnknown
        return kind(homma_error.problem, _RESUMES)
