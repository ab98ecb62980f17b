"""Settings that several stages share: default and meaning.

The stages agree on which ticks are valid and late, and which candles are final.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

WATERMARK_DELAY: Final = (
    timedelta(seconds=2),
    "how long a candle waits for out-of-order ticks before it is final",
)
IDLE_TIMEOUT: Final = (
    timedelta(seconds=5),
    "after this long without a tick, the clock moves the series' watermark",
)
MAX_FUTURE: Final = (
    timedelta(minutes=5),
    "a tick dated further ahead of its record's timestamp becomes a dead letter",
)
ALLOWED_LATENESS: Final = (
    timedelta(minutes=10),
    "how long after the end of its minute, in event time, a tick still counts; later ticks are "
    "dropped as late",
)
UNTIL_END: Final = (False, "process the records that exist now, then exit")
GROUP: Final = ("homma", "consumer group that owns the committed offsets")
PRICE: Final = (
    "mid",
    "which price candles are built from: that of quotes (mid, bid or ask) or of trades (trade), "
    "whose candles have their volume and turnover",
)
PRICES: Final = (
    "positive",
    "which prices are valid: positive, or any, for markets with prices of 0 and below",
)
DIR: Final = (
    Path(".homma"),
    "folder for all data, logs and state; commands find the `homma up` that runs there",
)
CACHE: Final = (Path("~/.cache/homma"), "folder for downloaded files")
MAVEN: Final = (
    "https://repo.maven.apache.org/maven2",
    "Maven repository for the jars of Kafka, Trino and Flink",
)
SERVE_PORT: Final = (8010, "port of the page and the API")

# Of the stages that send ticks.
LIMIT: Final = (0, "stop after this many ticks; 0: no limit")
SPEED: Final = ("1", "multiple of real time at which ticks are sent; max: as fast as possible")

# Of the stages that read recorded ticks.
SOURCE: Final = ("", "source of all ticks in files without a source column")
SYMBOL: Final = ("", "symbol of all ticks in files without a symbol column")
FEED: Final = (
    "",
    "feed definition of the files: a name of `homma feeds`, or a TOML file; none: the files have "
    "the names of fields as columns",
)
TIME_UNIT: Final = (
    "text",
    "unit of numeric dates, counted from 1970-01-01; epoch: any of them, told by the number of "
    "digits",
)
SEPARATOR: Final = (",", "separator between the columns of a CSV file")
SKIP: Final = (False, "skip rows with missing or invalid values, and report their number")
