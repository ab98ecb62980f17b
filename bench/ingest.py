"""Records per second into the tick topic: foreign JSON, and homma's own format.

    make bench WHAT=ingest
    make bench WHAT=ingest ARGS="--ticks 200000 --rounds 1"

homma's own format is forwarded by the loop of `--rekey`, which shares its machinery with
`homma ingest`. Kafka and the loops share the machine. Compare the ratios.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from bench import report
from bench.broker import broker, takes_port
from bench.market import PARTITIONS, Market
from homma.aggregate.rekey import rekey_loop
from homma.core.decimals import text
from homma.feed.definitions.catalog import shipped
from homma.feed.definitions.tick_reader import TickReader
from homma.feed.ingest.stage import ingest_loop
from homma.metrics import AGGREGATE, INGEST, Metrics
from homma.partitions.stage import tick_topics
from homma.settings import AggregateSettings, IngestSettings, TopicSettings
from homma.topics import contract
from homma.topics.codec import encode_ticks
from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender

SERIES = 100
SPAN_US = 3_600_000_000
STEP = 50_000


@dataclass(frozen=True)
class Format:
    """How messages are written; `feed` is the definition that reads them, "" for homma's own."""

    name: str
    feed: str
    write: Callable[[pl.DataFrame], list[bytes]]


def _own(ticks: pl.DataFrame) -> list[bytes]:
    return encode_ticks(ticks)[1]


def _binance(ticks: pl.DataFrame) -> list[bytes]:
    """Trades of combined streams."""
    at_ms = pl.col("dateTime").str.to_datetime(time_unit="ms").cast(pl.Int64)
    rows = ticks.with_columns(text(pl.col("size")), at_ms=at_ms).iter_rows(named=True)
    return [
        json.dumps(
            {
                "stream": "trade",
                "data": {
                    "e": "trade",
                    "E": row["at_ms"],
                    "s": row["symbol"],
                    "t": row["number"],
                    "p": str(row["price"]),
                    "q": row["size"],
                    "T": row["at_ms"],
                    "m": False,
                },
            }
        ).encode()
        for row in rows
    ]


def _coinbase(ticks: pl.DataFrame) -> list[bytes]:
    """Matches, with all their fields."""
    rows = ticks.with_columns(text(pl.col("size"))).iter_rows(named=True)
    return [
        json.dumps(
            {
                "type": "match",
                "trade_id": row["number"],
                "maker_order_id": "27fff20b-af29-4f45-8744-56dd1ef57dc0",
                "taker_order_id": "1da6ce16-c8da-4732-9f71-6049f4c6aaf8",
                "side": "sell",
                "size": row["size"],
                "price": str(row["price"]),
                "product_id": row["symbol"],
                "sequence": row["number"],
                "time": row["dateTime"] + "Z",
            }
        ).encode()
        for row in rows
    ]


FORMATS = (
    Format("homma's own", "", _own),
    Format("Binance", "binance", _binance),
    Format("Coinbase", "coinbase", _coinbase),
)


def main() -> None:
    """Forward the same trades in each format, in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    takes_port(parser)
    report.takes_markdown(parser)
    args = parser.parse_args()
    market = Market(args.ticks, SERIES, SPAN_US, kind="trade")
    with broker(args.port) as (bootstrap, _):
        for form in FORMATS:
            _send(bootstrap, form, market)
        taken: dict[str, list[tuple[float, float]]] = {form.name: [] for form in FORMATS}
        for number in range(args.rounds):
            for form in FORMATS:
                taken[form.name].append(_forward(bootstrap, form, f"round{number}"))
    _show(taken, market, markdown=args.markdown)


def _topic(form: Format) -> str:
    return f"from_{form.feed or 'own'}"


def _send(bootstrap: str, form: Format, market: Market) -> None:
    connection = {"bootstrap.servers": bootstrap}
    Admin(connection).ensure([TopicSpec(_topic(form), PARTITIONS, {})], 1)
    sender = Sender(connection)
    for first in range(0, market.ticks, STEP):
        ticks = market.frame(first, min(STEP, market.ticks - first))
        keys = encode_ticks(ticks)[0]
        sender.send(_topic(form), keys, form.write(ticks))
    assert sender.flush(120) == 0


def _forward(bootstrap: str, form: Format, name: str) -> tuple[float, float]:
    """Forward all messages to a new topic; returns the seconds and the CPU seconds it took."""
    connection = {"bootstrap.servers": bootstrap}
    admin = Admin(connection)
    settings = TopicSettings(topic=f"{name}_{_topic(form)}", candle_topic=name + "_{name}")
    names = contract.topics(settings)
    admin.ensure(contract.specs(settings, PARTITIONS), 1)
    admin.ensure([contract.by_series_spec(settings, PARTITIONS)], 1)
    foreign = tick_topics(connection, replace(names, ticks=_topic(form)), admin)
    if form.feed:
        target = tick_topics(connection, names, admin)
        reader = TickReader(shipped()[form.feed].definition)
        metrics = Metrics(INGEST).labelled(form.feed)
        ingest = IngestSettings(group=name, until_end=True)
        run = ingest_loop(foreign, target, reader, ingest, metrics).run
    else:
        keyed = admin.topic_id(names.by_series) or ""
        rekey = AggregateSettings(group=name, until_end=True)
        run = rekey_loop(foreign, rekey, keyed, Metrics(AGGREGATE)).run
    began_s, began_cpu_s = time.perf_counter(), _cpu_s()
    run(lambda: False)
    return time.perf_counter() - began_s, _cpu_s() - began_cpu_s


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _show(taken: dict[str, list[tuple[float, float]]], market: Market, *, markdown: bool) -> None:
    own_s = statistics.median(seconds for seconds, _ in taken[FORMATS[0].name])
    rows = []
    for name, times in taken.items():
        seconds = statistics.median(seconds for seconds, _ in times)
        cpu_s = statistics.median(cpu_s for _, cpu_s in times)
        rows.append(
            [
                name,
                f"{market.ticks / seconds:,.0f}",
                f"{own_s / seconds:.2f}",
                f"{cpu_s / market.ticks * 1e6:.2f}",
            ]
        )
    title = f"{market.ticks:,} trades of {market.series} series, as JSON"
    head = ("format", "records/s", "÷ homma's own", "CPU s per million")
    report.show(title, head, rows, markdown=markdown)


if __name__ == "__main__":
    main()
