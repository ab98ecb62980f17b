"""The engine: `stock_ticks` to `candle_*`."""
