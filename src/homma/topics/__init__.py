"""The contract between the stages, on Kafka."""
