"""A Kafka broker for the duration of a measurement."""

import argparse
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homma.cli.local import is_reachable
from homma.stack.downloads import jars
from homma.stack.servers import kafka
from homma.stack.servers.kafka import Broker


@contextmanager
def broker(port: int) -> Iterator[tuple[str, Path]]:
    """The broker's address and a temporary folder; the controller uses the next port."""
    # librdkafka recovers from what it logs, or raises an exception.
    logging.getLogger("homma.kafka").setLevel(logging.CRITICAL)
    bootstrap = f"127.0.0.1:{port}"
    class_path = jars.fetch(jars.read_lock("kafka"), Path("~/.cache/homma/jars").expanduser())
    with tempfile.TemporaryDirectory(prefix="homma-bench-") as home:
        folder = Path(home)
        running = kafka.start(
            Broker(
                folder / "kafka",
                port,
                port + 1,
                class_path,
                port_flag="--port",
                controller_port_flag="--port",
            ),
            lambda: is_reachable(bootstrap),
        )
        try:
            yield bootstrap, folder
        finally:
            running.stop()


def takes_port(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the broker's port."""
    parser.add_argument(
        "--port", type=int, default=19192, help="port of the broker; the next port is used, too"
    )
