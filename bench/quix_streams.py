# /// script
# requires-python = ">=3.11"
# dependencies = ["quixstreams==3.28.1"]
# ///
"""1-minute candles by Quix Streams, as its documentation has it, in an environment of its own.

uv run --script bench/quix_streams.py BOOTSTRAP TOPIC TICKS FOLDER

A tumbling window over event time, its state in RocksDB with a changelog topic, at least once: the
defaults. `final()` writes a candle when it is over; `current()`, one record a tick, is slower.
"""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Earliest, Latest, Max, Min

from bench.stopwatch import Stopwatch


def event_ms(value: dict[str, Any], *_: object) -> int:
    """A tick's dateTime in milliseconds."""
    return int(datetime.fromisoformat(value["dateTime"]).replace(tzinfo=UTC).timestamp() * 1000)


def candles(bootstrap: str, topic: str, ticks: int, folder: str) -> None:
    """Work off the first so many ticks."""
    watch: list[Stopwatch] = []
    processed = 0

    def count(*_: object) -> None:
        nonlocal processed
        if not watch:
            watch.append(Stopwatch())
        processed += 1
        if processed == ticks:
            watch[0].tell(processed)
            app.stop()

    app = Application(
        bootstrap,
        consumer_group="bench-quix",
        auto_offset_reset="earliest",
        state_dir=folder,
        on_message_processed=count,
        loglevel="WARNING",
    )
    read = app.topic(topic, key_deserializer="str", timestamp_extractor=event_ms)
    candle = (
        app.dataframe(read)
        .tumbling_window(timedelta(minutes=1))
        .agg(open=Earliest("mid"), high=Max("mid"), low=Min("mid"), close=Latest("mid"))
        .final()
    )
    candle.to_topic(app.topic("quix_candle_1min", key_serializer="str"))
    app.run()


if __name__ == "__main__":
    candles(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
