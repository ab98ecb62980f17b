# /// script
# requires-python = ">=3.11"
# dependencies = ["quixstreams==3.28.1"]
# ///
"""1-minute candles with Quix Streams as in its documentation, in an environment of its own.

uv run --script bench/quix_streams.py BOOTSTRAP TOPIC TICKS FOLDER

The defaults: a tumbling window over event time, state in RocksDB with a changelog topic, at least
once. `final()` writes a candle at its end; `current()`, one record per tick, is slower.
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
    """Process the first `ticks` ticks."""
    watch: list[Stopwatch] = []
    processed = 0

    def count(*_: object) -> None:
        nonlocal processed
        if not watch:
            watch.append(Stopwatch())
        processed += 1
        if processed == ticks:
            watch[0].report(processed)
            app.stop()

    app = Application(
        bootstrap,
        consumer_group="bench-quix",
        auto_offset_reset="earliest",
        state_dir=folder,
        on_message_processed=count,
        loglevel="WARNING",
    )
    source = app.topic(topic, key_deserializer="str", timestamp_extractor=event_ms)
    candle = (
        app.dataframe(source)
        .tumbling_window(timedelta(minutes=1))
        .agg(open=Earliest("mid"), high=Max("mid"), low=Min("mid"), close=Latest("mid"))
        .final()
    )
    candle.to_topic(app.topic("quix_candle_1min", key_serializer="str"))
    app.run()


if __name__ == "__main__":
    candles(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
