"""All measurements, one after the other, as the Markdown tables of bench/README.md.

make bench WHAT=everything > measured.md            on a quiet machine; it takes a while
make bench WHAT=everything ARGS=--small             a check that all of them work: a few minutes
"""

import argparse
import subprocess
import sys
import time

from bench import report
from bench.storage import takes_storage_port

#: Measurements, their flags, and their flags with --small.
PLAN = (
    ("end_to_end", "", "--ticks 200000 --quix-ticks 20000 --hours 0.1"),
    ("steps", "", "--seconds 0.2"),
    ("latency", "", "--rate 1000 --seconds 5 --warm-up 3"),
    ("engines", "", "--ticks 200000 --quix-ticks 20000 --rate 500 --seconds 5 --warm-up 3"),
    ("restart", "", "--series 50 --days 2 --fine-minutes 1"),
    ("landing", "", "--ticks 200000 --commits 20 --rounds 3"),
    ("reading", "", "--rows 150000 --times 1"),
    ("backfill", "", "--ticks 200000"),
    ("ingest", "", "--ticks 50000 --rounds 1"),
    ("serving", "", "--candles 20000 --series 20 --clients 50 --updates 200 --seconds 3"),
    ("memory", "--minutes 20", "--minutes 13 --rate 1000"),
)
#: Measurements that need a lake, and measurements that need no broker.
STORAGE = ("landing", "reading", "backfill")
NO_BROKER = ("steps", "reading", "backfill")


def main() -> None:
    """Run the plan; continue after a failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--small", action="store_true", help="small sizes, to check that all of them work"
    )
    parser.add_argument(
        "--port", type=int, default=19192, help="port of the broker; the next port is used, too"
    )
    takes_storage_port(parser)
    args = parser.parse_args()
    print(report.machine(), flush=True)
    failed: list[str] = []
    for name, full, small in PLAN:
        began_s = time.monotonic()
        argv = [
            sys.executable,
            "-m",
            f"bench.{name}",
            "--markdown",
            *(small if args.small else full).split(),
        ]
        if name in STORAGE:
            argv += ["--storage-port", str(args.storage_port)]
        if name not in NO_BROKER:
            argv += ["--port", str(args.port)]
        if subprocess.run(argv, check=False).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - began_s:,.0f} s", file=sys.stderr)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
