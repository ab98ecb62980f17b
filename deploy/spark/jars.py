"""Download the jars that Spark needs for the lake, and print their paths, comma-separated."""

import sys
from pathlib import Path

from homma.stack.downloads.jars import fetch, parse_lock

HERE = Path(__file__).parent
CACHE = Path("~/.cache/homma/jars").expanduser()


def main() -> None:
    """Print the paths for `spark-sql --jars`."""
    lock = parse_lock((HERE / "jars.lock.toml").read_text(encoding="utf-8"))
    sys.stdout.write(",".join(str(path) for path in fetch(lock, CACHE)) + "\n")


if __name__ == "__main__":
    main()
