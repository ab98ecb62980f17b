"""What a candle is. Pure: no clock, files, sockets or threads; polars is the only dependency."""
