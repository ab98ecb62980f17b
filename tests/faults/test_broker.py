"""The broker dies under a running engine, and comes back."""

from datetime import timedelta

from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick, until
from tests.faults.brokers import OwnBroker

DAY = "2025-03-20T"
KILLS = 2


def test_the_engine_goes_on_when_its_broker_was_killed(broker: OwnBroker) -> None:
    pipeline = Pipeline(broker.address, partitions=2)
    # So many ticks that transactions are under way all the time.
    ticks = [
        tick(f"{DAY}14:{minute:02}:{second:02}", minute + n / 8, minute * 60 + second, f"SYM{n}")
        for minute in range(30, 30 + KILLS + 1)
        for second in range(60)
        for n in range(8)
    ]
    each = len(ticks) // (KILLS + 1)

    def counted() -> int:
        return int(pipeline.candles().filter(interval=8)["volume"].sum())

    with pipeline.running(emit_every=timedelta(milliseconds=20)) as engine:
        for kill in range(KILLS + 1):
            pipeline.send(*ticks[kill * each : (kill + 1) * each])
            if kill < KILLS:
                broker.kill()
                broker.wait_restarted(kill + 1)
        until(lambda: counted() == len(ticks), within_s=150)
        assert engine.is_alive()
    same_candles(pipeline.candles(), batch_candles(ticks))
