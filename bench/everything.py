"""All measurements, one after the other, as the Markdown that bench/README.md shows.

make bench WHAT=everything > measured.md            on a quiet machine; it takes a while
make bench WHAT=everything ARGS=--small             whether all of it works: a few minutes
"""

import argparse
import subprocess
import sys
import time

from bench import report
from bench.storage import takes_storage_port

#: What is run, with which flags, and with which when it only has to work.
PLAN = (
    ("end_to_end", "", "--ticks 200000 --quix-ticks 20000 --hours 0.1"),
    ("steps", "", "--seconds 0.2"),
    ("latency", "", "--rate 1000 --seconds 5 --warm-up 3"),
    ("engines", "", "--ticks 200000 --quix-ticks 20000 --rate 500 --seconds 5 --warm-up 3"),
    ("restart", "", "--series 50 --days 2 --fine-minutes 1"),
    ("landing", "", "--ticks 200000 --commits 20 --rounds 3"),
    ("reading", "", "--rows 150000 --times 1"),
    ("backfill", "", "--ticks 200000"),
    ("serving", "", "--candles 20000 --series 20 --clients 50 --updates 200 --seconds 3"),
    ("memory", "--minutes 20", "--minutes 13 --rate 1000"),
)
#: Those that need a lake, and those that need no broker.
STORAGE = ("landing", "reading", "backfill")
NO_BROKER = ("steps", "reading", "backfill")


def main() -> None:
    """Run the plan; one that fails does not keep the others from running."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--small", action="store_true", help="small sizes: does all of it work?")
    parser.add_argument("--port", type=int, default=19192, help="of the broker; one more is used")
    takes_storage_port(parser)
    asked = parser.parse_args()
    print(report.machine(), flush=True)
    failed: list[str] = []
    for what, full, small in PLAN:
        began_s = time.monotonic()
        argv = [
            sys.executable,
            "-m",
            f"bench.{what}",
            "--markdown",
            *(small if asked.small else full).split(),
        ]
        if what in STORAGE:
            argv += ["--storage-port", str(asked.storage_port)]
        if what not in NO_BROKER:
            argv += ["--port", str(asked.port)]
        if subprocess.run(argv, check=False).returncode:
            failed.append(what)
        print(f"{what}: {time.monotonic() - began_s:,.0f} s", file=sys.stderr)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
