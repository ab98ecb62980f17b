"""Whether a broker answers: what the topics' own client does for homma."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def answers(port: int) -> bool:
    """Make one metadata request."""
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False
