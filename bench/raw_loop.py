"""`consumer.consume`, discarding the result: the upper bound for Python.

python -m bench.raw_loop BOOTSTRAP TOPIC PARTITIONS TICKS
"""

import sys

from confluent_kafka import Consumer, TopicPartition

from bench.stopwatch import Stopwatch


def read(bootstrap: str, topic: str, partitions: int, ticks: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-raw",
            "isolation.level": "read_committed",
            "queued.min.messages": 200_000,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    # Exclude the time of connecting.
    count = len(consumer.consume(1, 10))
    watch = Stopwatch()
    while count < ticks:
        count += len(consumer.consume(20_000, 0.2))
    watch.report(count)


if __name__ == "__main__":
    read(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
