"""Embedded, batch and Flink: equal candles, field by field, in all 11 intervals."""

import json
from collections import Counter
from datetime import timedelta

import polars as pl
import pytest

from homma.core.candle import order_key_number, order_key_us
from homma.core.interval import BY_NAME, DAY_US, INTERVALS
from homma.core.recompute import END_OF_TIME_US, FILED, TICKS, EventSpan, Slice, recomputed
from homma.topics.kafka.reading import Message
from homma.topics.ticks import parse_ticks
from tests import oracle
from tests.aggregate.pipeline import same_candles
from tests.flink.cases import MISREAD, TAKEN
from tests.flink.conftest import Made
from tests.oracle import Candle

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
MAX_FUTURE_US = 300_000_000


def of(candles: pl.DataFrame, prefix: str) -> pl.DataFrame:
    return candles.filter(pl.col("source").str.starts_with(prefix))


def told(candles: pl.DataFrame, interval: str) -> list[Candle]:
    """Rows as golden cases have them, without what Flink does not say, sorted as they are."""
    names = list(BY_NAME)
    rows = candles.filter(pl.col("interval") == names.index(interval)).sort(
        "source", "symbol", "start_us"
    )

    def text(us: pl.Expr, digits: int) -> pl.Expr:
        return us.cast(pl.Datetime("us")).dt.to_string(f"%Y-%m-%dT%H:%M:%S%.{digits}f")

    return rows.select(
        "source",
        "symbol",
        text(pl.col("start_us"), 3).alias("dateTime"),
        "open",
        "high",
        "low",
        "close",
        "volume",
        text(order_key_us(pl.col("open_order_key")), 6).alias("openDateTime"),
        order_key_number(pl.col("open_order_key")).alias("openNumber"),
        text(order_key_us(pl.col("close_order_key")), 6).alias("closeDateTime"),
        order_key_number(pl.col("close_order_key")).alias("closeNumber"),
    ).to_dicts()


@pytest.mark.parametrize("engine", ["embedded", "candles"])
def test_golden_cases_and_generated_logs(made: Made, engine: str) -> None:
    """The golden cases' expectations are the oracle's: tests/core/test_golden.py."""
    compared = 0
    for case in made.cases:
        mine = of(getattr(made, engine), case.prefix)
        by_key = oracle.candles(oracle.counted(case.ticks, timedelta(minutes=10)))
        for interval in BY_NAME:
            wanted = [
                c
                for key, c in by_key.items()
                if key[0] == interval and c["source"].startswith(case.prefix)
            ]
            wanted.sort(key=lambda c: (c["source"], c["symbol"], c["dateTime"]))
            assert told(mine, interval) == wanted, (case.name, interval)
            compared += len(wanted)
    assert compared > 500


def whole(candles: pl.DataFrame) -> pl.DataFrame:
    """Without series that broken records have made."""
    own = pl.col("source").str.contains(r"^[gp]\d+\.") | pl.col("symbol").str.starts_with("SYM")
    return candles.filter(own)


def test_what_flink_takes_for_a_tick_is_listed(made: Made) -> None:
    taken = {case.name for prefix, case in made.broken.items() if of(made.candles, prefix).height}
    assert taken == TAKEN
    assert of(made.embedded, "d")["source"].n_unique() == len(MISREAD)


def test_flink_and_the_embedded_engine_agree_on_everything(made: Made) -> None:
    candles = whole(made.candles)
    assert candles.height > 2_500
    assert set(candles["interval"].unique()) == set(range(len(INTERVALS)))
    same_candles(candles, whole(made.embedded))


def test_batch_agrees(made: Made) -> None:
    """`homma verify`, `repair` and `backfill` work candles out this way."""
    pipeline = made.pipeline
    messages = pipeline.records(pipeline.topics.ticks)
    refused = {_origin(message) for message in pipeline.records(pipeline.topics.late)}
    valid = parse_ticks({0: messages}, MAX_FUTURE_US)[0].valid
    ticks = (
        valid.filter(~pl.col("offset").is_in([offset for _, offset in refused]))
        .select(
            "source",
            "symbol",
            "event_us",
            "number",
            pl.col("mid").alias("price"),
            pl.lit(FILED + 1, pl.Int64).alias("partition"),
            "offset",
        )
        .cast(TICKS)
    )
    # The epoch's week began before it.
    span = EventSpan(start_us=-7 * DAY_US)
    candles = pl.concat(recomputed([Slice(0, END_OF_TIME_US, ticks)], span))
    same_candles(whole(made.candles), whole(candles))


def test_too_late_ticks_are_the_same(made: Made) -> None:
    late = [p.records(p.topics.late) for p in (made.pipeline, made.flink.pipeline)]
    embedded, flink = (Counter(_origin(message) for message in found) for found in late)
    assert flink == embedded
    assert flink.total() > 100
    # Flink writes them anew, and says the same.
    values = [{_origin(m): oracle.read(m.value()) for m in found} for found in late]
    for place, tick in values[0].items():
        same = values[1][place]
        assert isinstance(tick, dict)
        assert isinstance(same, dict)
        assert {k: v for k, v in tick.items() if v is not None} == {
            k: v for k, v in same.items() if v is not None
        }


def test_records_are_the_contracts(made: Made) -> None:
    pipeline = made.flink.pipeline
    for message in pipeline.records(pipeline.topics.candles[0], pipeline.topics.candles[-1])[:500]:
        candle = json.loads(message.value() or b"")
        key = {name: candle[name] for name in ("source", "symbol", "dateTime")}
        assert json.loads(message.key() or b"") == key
        assert candle["isFinal"] is None
        assert candle["revision"] is None
        assert b" " not in (message.key() or b"").replace(b" a/b", b"")


def _origin(message: Message) -> tuple[int, int]:
    headers = dict(message.headers() or ())
    return int(headers["partition"] or 0), int(headers["offset"] or 0)
