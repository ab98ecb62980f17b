"""Say where the jars are that Spark needs for the lake, comma-separated, and fetch what lacks."""

import sys
from pathlib import Path

from homma.stack.jars import fetch, parse_lock

HERE = Path(__file__).parent
CACHE = Path("~/.cache/homma/jars").expanduser()


def main() -> None:
    """Print them for `spark-sql --jars`."""
    lock = parse_lock((HERE / "jars.lock.toml").read_text(encoding="utf-8"))
    sys.stdout.write(",".join(str(path) for path in fetch(lock, CACHE)) + "\n")


if __name__ == "__main__":
    main()
