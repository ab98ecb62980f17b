"""All engines of a group have the same intervals: another one is refused before it reads a tick."""

from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from homma.aggregate.group import GroupCheck
from homma.core.calendar import calendar_of
from homma.errors import StateError
from tests.support.engines import Engines, at_work, check, market
from tests.support.pipeline import Pipeline, tick, until

MINUTES = calendar_of(["m1", "m5"])
SECONDS = calendar_of(["s1", "m1"])
REFUSED = "a running engine of group {} has the intervals m1,m5, but --intervals is s1,m1; stop all"


def test_an_engine_with_other_intervals_is_refused(bootstrap: str, tmp_path: Path) -> None:
    """It disturbs nobody. A killed engine is no reason to refuse another one."""
    pipeline = Pipeline(bootstrap, partitions=2, calendar=MINUTES)
    records = market(1, 3_000, 6)
    with at_work(pipeline, tmp_path, records, 12) as (engines, feed, progress):
        # A user's own client id does not hide the intervals.
        first = engines.start("-X", "client.id=mine")
        progress.reach(100)
        others = Engines(pipeline, tmp_path / "others")
        others.folder.mkdir()
        with others:
            pipeline.choose(SECONDS)
            message = others.start("-X", "client.id=another").wait_failed()
            pipeline.choose(MINUTES)
        assert REFUSED.format(pipeline.settings.group) in message
        assert "revoked" not in first.output()
        assert pipeline.records(f"{pipeline.name}_1sec") == []
        feed.join()
        progress.reach(len(records))
        first.kill()
    check(pipeline)
    pipeline.choose(SECONDS)
    later = tick("2025-03-20T20:00:00.500", number=10**6)
    pipeline.send(later)
    # It waits until the session of the killed engine has ended.
    pipeline.work_off()
    assert pipeline.candle("s1", "2025-03-20T20:00:00")["volume"] == 1


def test_engines_that_join_together_are_checked_when_partitions_are_assigned(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if no other engine was there yet.
    monkeypatch.setattr(GroupCheck, "wait", Mock())
    pipeline = Pipeline(bootstrap, partitions=2, calendar=MINUTES)
    ticks = [tick("2025-03-20T14:30:10", symbol=f"SYM{n}") for n in range(8)]
    with pipeline.running(emit_every=timedelta(milliseconds=50)) as first:
        pipeline.send(*ticks)
        until(lambda: pipeline.candles().filter(interval="m1").height == len(ticks))
        pipeline.choose(SECONDS)
        with pytest.raises(StateError, match=REFUSED.format(pipeline.settings.group)):
            pipeline.engine().run(lambda: False)
        assert pipeline.records(pipeline.topics.candles["s1"]) == []
        pipeline.choose(MINUTES)
        # The first engine gets its partitions back.
        more = [tick("2025-03-20T14:30:11", symbol=f"SYM{n}", number=2) for n in range(8)]
        pipeline.send(*more)
        until(lambda: int(pipeline.candles().filter(interval="m5")["volume"].sum()) == 16)
        assert first.is_alive()


def test_engines_with_the_same_intervals_and_other_clients_share_a_group(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, partitions=2, calendar=SECONDS)
    often = {"emit_every": timedelta(milliseconds=50)}
    with pipeline.running(**often), pipeline.running(**often) as second:
        ticks = [tick("2025-03-20T14:30:10", symbol=f"SYM{n}") for n in range(8)]
        pipeline.send(*ticks)
        until(lambda: pipeline.candles().filter(interval="s1").height == len(ticks))
        assert second.is_alive()
