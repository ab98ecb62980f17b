"""Producers: an idempotent one for ticks, a transactional one for candles."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer, TopicPartition

from homma.errors import Fenced, KafkaError
from homma.failpoint import Reached, Step, ignored
from homma.topics.contract import Headers
from homma.topics.kafka.connection import Connection, client_config, create, explained, log

#: The partition is that of the key.
ANY_PARTITION: Final = -1
# As Java's clients do it, so that a series stays where others of its producers put it.
_PARTITIONER: Final = "murmur2_random"
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
                partitioner=_PARTITIONER,
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


_AGAIN: Final = "nothing to do: the work is taken up again from the last commit"
_INIT_S: Final = 10.0
_STEP_S: Final = 5.0
_GRACE_S: Final = 1.0


class Bounded:
    """Calls that may never come back, each in a thread that can be left behind.

    librdkafka is told how long a step of a transaction may take. When its broker is killed in the
    middle of one it can wait for ever all the same; and closing a producer waits until its
    transaction is rolled back, however long the broker takes for that.
    """

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    @property
    def stuck(self) -> bool:
        """Whether a call has been left behind."""
        return self._stuck is not None

    def call(self, call: Callable[[], None], within_s: float) -> None:
        """Do it, behind the call left behind; TimeoutError where it has not come back in time.

        Raises what it raises.
        """
        done: Future[None] = Future()
        before = self._stuck

        def run() -> None:
            if before is not None:
                before.join()
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
    """One transactional producer. Raises Aborted, Fenced or Indefinite, in the order of facts.

    After Indefinite or Fenced this producer is of no more use: make a new one, whose `init` ends
    whatever the old one left open.
    """

    def __init__(
        self,
        config: Connection,
        transactional_id: str,
        timeout_ms: int,
        clock_s: Callable[[], float] = time.monotonic,
        reached: Reached = ignored,
    ) -> None:
        self._config = config
        self._deadline_s = timeout_ms / 1000
        self._bounded = Bounded()
        self._clock_s = clock_s
        self._reached = reached
        self._producer = create(
            Producer,
            client_config(
                config,
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
        """Take over the transactional id; ends the predecessor's transaction."""
        self._step(
            "taking over the partition", lambda: self._producer.init_transactions(_INIT_S), _INIT_S
        )

    def begin(self) -> None:
        """Open a transaction."""
        self._step("beginning a transaction", self._producer.begin_transaction)
        self._reached(Step.BEGUN)

    def send(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps_ms: Sequence[int],
        headers: Sequence[Headers],
    ) -> None:
        """Records of one topic, to a partition or, by their keys, to ANY_PARTITION."""
        produce = self._producer.produce
        rows = zip(keys, values, timestamps_ms, headers, strict=True)
        for key, value, timestamp_ms, told in rows:
            while True:
                try:
                    produce(topic, value, key, partition, timestamp=timestamp_ms, headers=told)
                    break
                except BufferError:
                    self._producer.poll(0.05)
                except KafkaException as error:
                    raise self._judged(error, "writing candles") from error

    def commit(self, topic: str, partition: int, offset: int, metadata: str, owner: object) -> None:
        """Commit what was sent together with the input offset; `owner` from the group's reader."""
        self._reached(Step.SENT)
        position = TopicPartition(topic, partition, offset, metadata)
        self._step(
            "adding the offset to the transaction",
            lambda: self._producer.send_offsets_to_transaction([position], owner, _STEP_S),
        )
        self._reached(Step.OFFSET_ADDED)
        self._step("committing a transaction", lambda: self._producer.commit_transaction(_STEP_S))
        self._reached(Step.COMMITTED)

    def settle(self, topic: str, partition: int, owner: object) -> None:
        """Have the group let go of an offset that an old transaction of this id has left pending.

        When broker and engine die together the coordinator may forget such a transaction, and
        `init` has nothing to end; the group goes on waiting for it, and gives no offset. A
        transaction of our own that is rolled back ends all that this producer has pending there.
        """
        self.begin()
        position = TopicPartition(topic, partition, 0)
        self._step(
            "adding an offset to a transaction to be rolled back",
            lambda: self._producer.send_offsets_to_transaction([position], owner, _STEP_S),
        )
        self.abort()

    def abort(self) -> None:
        """Roll back what was sent."""
        self._step("aborting a transaction", lambda: self._producer.abort_transaction(_STEP_S))

    def close(self) -> None:
        """Let go of the connections; what is not committed is rolled back, by whoever can."""
        with suppress(TimeoutError):
            self._bounded.call(self._close, 0 if self._bounded.stuck else _GRACE_S)

    def _close(self) -> None:
        self._producer.purge()
        try:
            self._producer.close()
        except (KafkaException, SystemError) as error:
            # Closing rolls back an open transaction, which a successor has done already, or which
            # no broker is there to do; then the client can fail to say so (its SystemError).
            log.debug("closing a producer: %s", error)

    def _step(self, doing: str, call: Callable[[], None], within_s: float = _STEP_S) -> None:
        """Do it again as long as librdkafka says that this helps."""
        until_s = self._clock_s() + self._deadline_s
        while True:
            try:
                return self._bounded.call(call, within_s + _GRACE_S)
            except KafkaException as error:
                cause: Code = error.args[0]
                if cause.txn_requires_abort() or not cause.retriable() or self._clock_s() > until_s:
                    raise self._judged(error, doing) from error
            except TimeoutError as error:
                raise Indefinite(
                    f"{doing} at {self._config['bootstrap.servers']} has not come back", _AGAIN
                ) from error

    def _judged(self, error: KafkaException, doing: str) -> KafkaError:
        cause: Code = error.args[0]
        told = explained(error, doing, self._config)
        if isinstance(told, Fenced):
            return told
        kind = Aborted if cause.txn_requires_abort() else Indefinite
        return kind(told.what, _AGAIN)
