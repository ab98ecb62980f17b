"""Read with a consumer until something happens."""

from homma.topics.kafka.consumer import PartitionConsumer
from tests.support.waiting import until


def read_values(consumer: PartitionConsumer, count: int) -> list[int]:
    """The values of the next `count` records."""
    values: list[int] = []

    def has_read() -> bool:
        values.extend(int(m.value() or b"") for m in consumer.consume(100, 0.1).records)
        return len(values) >= count

    until(has_read)
    return values


def read_on(*consumers: PartitionConsumer) -> None:
    """Read until an error is raised."""

    def never() -> bool:
        for consumer in consumers:
            consumer.consume(100, 0.1)
        return False

    until(never)
