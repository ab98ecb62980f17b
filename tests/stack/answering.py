"""Checks whether a broker answers, with the Kafka client itself."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def answers(port: int) -> bool:
    """Whether the broker at this port answers a metadata request."""
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False
