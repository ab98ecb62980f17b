"""`stock_ticks` to `candle_*`: the engine."""
