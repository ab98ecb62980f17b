"""Producers: an idempotent one for ticks, a transactional one for candles."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer, TopicPartition

from homma.errors import Fenced, KafkaError
from homma.topics.kafka.connection import Connection, client_config, create, explained, log

Headers = Sequence[tuple[str, str | bytes | None]]
# librdkafka's queue: one publish of many series fits in.
_QUEUE: Final = 1_000_000
_QUEUE_KIB: Final = 512 * 1024


class Sender:
    """An idempotent producer, acks=all."""

    def __init__(self, config: Connection) -> None:
        self._config = config
        self._failed: Code | None = None
        self._producer = create(
            Producer,
            client_config(
                config,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                partitioner="murmur2_random",
                delivery_report_only_error=True,
                message_max_bytes=2_000_000,
            )
            | {"on_delivery": self._on_delivery},
        )

    def _on_delivery(self, error: Code | None, _message: Message) -> None:
        self._failed = self._failed or error

    def send(self, topic: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Hand over records; waits while librdkafka's queue is full."""
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
        """Serve delivery reports; KafkaError where a record was given up."""
        self._producer.poll(timeout_s)
        self._raise_failed()

    def flush(self, timeout_s: float) -> int:
        """Wait until all is acknowledged; the number of records that are not yet."""
        left = self._producer.flush(timeout_s)
        self._raise_failed()
        return left

    @property
    def waiting(self) -> int:
        """Records not yet acknowledged."""
        return len(self._producer)

    def _raise_failed(self) -> None:
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise explained(KafkaException(error), "sending records", self._config)


class Aborted(KafkaError):
    """The transaction was rolled back: go back to the state before it and do it again."""


class Indefinite(KafkaError):
    """Nobody knows whether the transaction went through: a new producer, then look."""


class Transactions:
    """One transactional producer. Raises Aborted, Fenced or Indefinite, in the order of facts.

    After Indefinite or Fenced this producer is of no more use: make a new one, whose `init` ends
    whatever the old one left open.
    """

    def __init__(
        self, config: Connection, transactional_id: str, timeout_ms: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._config = config
        self._deadline_s = timeout_ms / 1000 * 2
        self._clock_s = clock_s
        self._producer = create(
            Producer,
            client_config(
                config,
                transactional_id=transactional_id,
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
        """Take over the transactional id; ends the predecessor's transaction."""
        self._step("taking over the partition", lambda: self._producer.init_transactions(15))

    def begin(self) -> None:
        """Open a transaction."""
        self._step("beginning a transaction", self._producer.begin_transaction)

    def send(
        self, topic: str, partition: int, keys: Sequence[bytes | None],
        values: Sequence[bytes | None], timestamps_ms: Sequence[int], headers: Headers,
    ) -> None:  # fmt: skip
        """Records of one topic, all with the same headers."""
        produce, fixed = self._producer.produce, list(headers)
        for key, value, timestamp_ms in zip(keys, values, timestamps_ms, strict=True):
            while True:
                try:
                    produce(topic, value, key, partition, timestamp=timestamp_ms, headers=fixed)
                    break
                except BufferError:
                    self._producer.poll(0.05)
                except KafkaException as error:
                    raise self._judged(error, "writing candles") from error

    def commit(self, topic: str, partition: int, offset: int, metadata: str, owner: object) -> None:
        """Commit what was sent together with the input offset; `owner` from the group's reader."""
        position = TopicPartition(topic, partition, offset, metadata)
        self._step(
            "adding the offset to the transaction",
            lambda: self._producer.send_offsets_to_transaction([position], owner, 10),
        )
        self._step("committing a transaction", lambda: self._producer.commit_transaction(10))

    def abort(self) -> None:
        """Roll back what was sent."""
        self._step("aborting a transaction", lambda: self._producer.abort_transaction(10))

    def close(self) -> None:
        """Let go of the connections; what is not committed is rolled back, by whoever can."""
        self._producer.purge()
        try:
            self._producer.close()
        except KafkaException as error:
            # Closing rolls back an open transaction, which a successor has done already.
            log.debug("closing a producer: %s", error)

    def _step(self, doing: str, call: Callable[[], None]) -> None:
        """Do it again as long as librdkafka says that this helps."""
        until_s = self._clock_s() + self._deadline_s
        while True:
            try:
                return call()
            except KafkaException as error:
                cause: Code = error.args[0]
                if cause.txn_requires_abort() or not cause.retriable() or self._clock_s() > until_s:
                    raise self._judged(error, doing) from error

    def _judged(self, error: KafkaException, doing: str) -> KafkaError:
        cause: Code = error.args[0]
        told = explained(error, doing, self._config)
        if isinstance(told, Fenced):
            return told
        kind = Aborted if cause.txn_requires_abort() else Indefinite
        return kind(told.what, "nothing to do: the work is taken up again from the last commit")
