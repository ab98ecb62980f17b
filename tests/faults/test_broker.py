"""The broker is killed while an engine runs, and restarts."""

from datetime import timedelta

from tests.faults.brokers import OwnBroker
from tests.support.pipeline import Pipeline, batch_candles, same_candles, tick, until

DAY = "2025-03-20T"
KILLS = 2


def test_the_engine_continues_after_its_broker_was_killed(broker: OwnBroker) -> None:
    pipeline = Pipeline(broker.address, partitions=2)
    # Enough ticks to keep transactions open all the time.
    ticks = [
        tick(f"{DAY}14:{minute:02}:{second:02}", minute + n / 8, minute * 60 + second, f"SYM{n}")
        for minute in range(30, 30 + KILLS + 1)
        for second in range(60)
        for n in range(8)
    ]
    batch = len(ticks) // (KILLS + 1)

    def counted() -> int:
        return int(pipeline.candles().filter(interval="D1")["volume"].sum())

    with pipeline.running(emit_every=timedelta(milliseconds=20)) as engine:
        for kill in range(KILLS + 1):
            pipeline.send(*ticks[kill * batch : (kill + 1) * batch])
            if kill < KILLS:
                broker.kill()
                broker.wait_restarted(kill + 1)
        until(lambda: counted() == len(ticks), timeout_s=150)
        assert engine.is_alive()
    same_candles(pipeline.candles(), batch_candles(ticks))
