"""The candles that a pipeline should have, by the oracle's rules."""

import polars as pl

from tests.support import oracle
from tests.support.pipeline import batch_candles
from tests.support.sinks import Sinks


def truth(sinks: Sinks) -> pl.DataFrame:
    """The candles of all valid ticks in the topic, late ones too, by the oracle's rules."""
    ticks = []
    for message in sinks.pipeline.records(sinks.pipeline.topics.ticks):
        read = oracle.read(message.value())
        if not isinstance(read, str):
            ticks.append(read)
    columns = ("source", "symbol", "mid", "number", "dateTime")
    return batch_candles(pl.DataFrame(ticks).select(columns), calendar=sinks.pipeline.calendar)
