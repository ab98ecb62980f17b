"""Send ticks to `stock_ticks`: synthetic ticks, or ticks recorded in files."""
