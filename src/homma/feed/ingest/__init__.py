"""Forward the records of another topic to `stock_ticks`, as a feed definition says."""
