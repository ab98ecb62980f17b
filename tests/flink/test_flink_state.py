"""What becomes of state: it ends, it goes on, and it is refused where it does not belong."""

import time
from pathlib import Path

import pytest

from homma.topics.latest import Latest, Record
from tests.aggregate.pipeline import Pipeline, batch_candles, same_candles, tick, until
from tests.flink.flinks import PATIENCE_S, Flink

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]
DAY = "2025-03-20T"
#: State as short-lived as can be: a minute's candle is forgotten a minute and a second after its
#: last change, and the series' clock a second after its last tick.
SHORT = ("--correct-for", "1s", "--max-future", "500ms", "--lateness", "0s", "--keep-for", "0s",
         "--dedupe-for", "1s")  # fmt: skip
FORGOTTEN_S = 63.0


def minute(flink: Flink, start: str) -> int:
    return int(flink.pipeline.candle("m1", start)["volume"])


def test_a_tick_after_the_states_end_destroys_no_finished_candle(
    bootstrap: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(bootstrap)
    flink = Flink(pipeline, tmp_path / "home")
    pipeline.send(*(tick(f"{DAY}14:31:{s:02}", float(s + 1), s) for s in range(5)))
    with flink.running(*SHORT):
        until(lambda: bool(flink.pipeline.records(flink.pipeline.topics.candles[0])), PATIENCE_S)
        time.sleep(FORGOTTEN_S)
        # The series has been quiet for so long that its clock is gone, too.
        pipeline.send(tick(f"{DAY}14:31:30", 99.0, 30))
        until(lambda: minute(flink, f"{DAY}14:31:00") == 1, PATIENCE_S)
    # Flink has written a candle of that tick alone. Readers keep the larger one.
    held = Latest(keep=10)
    for message in flink.pipeline.records(flink.pipeline.topics.candles[0]):
        held.add(
            Record(0, message.offset() or 0, message.timestamp()[1], message.key(), message.value())
        )
    [candle] = held.candles(("S", "AAA"))
    assert (candle.volume, candle.close, candle.is_final) == (5, 5.0, None)


def test_it_goes_on_where_it_was_stopped(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap, partitions=3)
    flink = Flink(pipeline, tmp_path / "home")
    first = [tick(f"{DAY}14:3{n}:10", float(n), n, f"SYM{n % 4}") for n in range(9)]
    pipeline.send(*first)
    flink.work_off("--parallelism", "2")
    # Copies, and what corrects candles that are out already.
    more = [tick(f"{DAY}14:3{n}:20", n + 0.5, n + 100, f"SYM{n % 4}") for n in range(3, 9)]
    pipeline.send(*first[-4:], *more)
    flink.work_off("--parallelism", "2", "--delivery", "at-least-once")
    said = flink.said()
    assert said.count("from the oldest tick kept") == 1
    assert said.count("starting Flink, from file:") == 1
    same_candles(flink.pipeline.candles(), batch_candles([*first, *more]))


def test_what_does_not_belong_together_is_refused(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick(f"{DAY}14:31:10"))
    pipeline.work_off()
    flink = Flink(pipeline, tmp_path / "home")
    # The embedded engine's candles, in the embedded engine's topics.
    flink.settings = pipeline.topic_settings
    process = flink.start("--until-end")
    assert process.wait(PATIENCE_S) == 1
    assert "there are candles of group" in flink.said()
    assert "--rebuild" in flink.said()
