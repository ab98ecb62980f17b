"""A `homma backfill` that has imported its modules before the servers are ready.

    python -m homma.cli.first_load READY backfill …

It begins when the file READY exists. Without this, a new data folder would be ready a second later.
"""

import sys
import time
from pathlib import Path
from typing import Final

from homma.cli.main import homma, main

_POLL_S: Final = 0.05


def run() -> None:
    """Import the command, wait for the file, and run the command."""
    ready = Path(sys.argv.pop(1))
    # This imports it.
    _ = homma.commands["backfill"]
    while not ready.exists():
        time.sleep(_POLL_S)
    main()


if __name__ == "__main__":
    run()
