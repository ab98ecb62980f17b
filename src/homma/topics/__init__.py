"""The Kafka topics that connect the stages: their names, settings and record formats."""
