"""What a candle is. Pure: no clock, file, socket or thread; polars is the one dependency."""
