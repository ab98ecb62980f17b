"""Kafka, by librdkafka: the only package that imports confluent_kafka."""
