"""Garbage collection for programs that process millions of records."""

import gc


def collect_rarely() -> None:
    """Search for reference cycles rarely: records are never part of one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
