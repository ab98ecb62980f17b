"""Kafka clients. Only this package imports confluent_kafka."""
