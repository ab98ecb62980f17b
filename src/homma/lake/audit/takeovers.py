"""Takes over the transactional ids of partitions, so that only repair can commit to them."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from homma.errors import KafkaError
from homma.lake.audit.engine import Engine
from homma.topics.contract import transactional_id
from homma.topics.kafka.writing import Transactions

_TRANSACTION_MS: Final = 10_000
_AT_ONCE: Final = 8


class Takeovers:
    """Transactions in place of the engine's.

    The first takeover of a new cluster takes a second, in which a load can do something else.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(_AT_ONCE, "takeover")
        self._prepared: dict[int, Future[Transactions]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was prepared and not used."""
        self._pool.shutdown(cancel_futures=True)
        for prepared in self._prepared.values():
            if not prepared.cancelled() and prepared.exception() is None:
                prepared.result().close()

    def prepare(self) -> None:
        """Take over the partitions that no engine has committed to, in the background."""
        committed = self._engine.committed_states()
        for partition in set(range(self._engine.partitions)) - set(committed):
            self._prepared[partition] = self._pool.submit(self._take_over, partition)

    def of(self, partition: int) -> Transactions:
        """Take over a partition now, or return what was prepared, once. Raises KafkaError."""
        prepared = self._prepared.pop(partition, None)
        return self._take_over(partition) if prepared is None else prepared.result()

    def _take_over(self, partition: int) -> Transactions:
        engine = self._engine
        name = transactional_id(engine.group, engine.topics.ticks, partition)
        transactions = Transactions(engine.connection, name, _TRANSACTION_MS)
        try:
            transactions.init()
        except KafkaError:
            transactions.close()
            raise
        return transactions
