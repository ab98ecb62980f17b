"""A Kafka for the length of a measurement."""

import argparse
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homma.cli.local import answers
from homma.stack import jars, kafka
from homma.stack.kafka import Broker


@contextmanager
def broker(port: int) -> Iterator[tuple[str, Path]]:
    """Its address, and a folder that vanishes with it; its controller has the next port."""
    # What librdkafka complains of it mends itself, or it comes as an exception.
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
            lambda: answers(bootstrap),
        )
        try:
            yield bootstrap, folder
        finally:
            running.stop()


def takes_port(parser: argparse.ArgumentParser) -> None:
    """The flag that moves the broker."""
    parser.add_argument("--port", type=int, default=19192, help="of the broker; one more is used")
