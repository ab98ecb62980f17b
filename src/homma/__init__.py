"""homma: real-time candlesticks from ticks, through Kafka, exactly once."""
