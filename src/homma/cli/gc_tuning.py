"""Python's search for cycles, for programs through which records pass by the million."""

import gc


def collect_seldom() -> None:
    """Records come and go and none is part of a cycle: look for cycles seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
