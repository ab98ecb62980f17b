"""Topics to tables: `homma land`."""
