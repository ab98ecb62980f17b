"""All engines of a group have the same intervals: another one is refused before it reads a tick."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from homma.aggregate.job import candle_loop
from homma.core.calendar import calendar_of
from homma.errors import KafkaError, StateError
from homma.partitions import loop
from homma.partitions.loop import Loop
from homma.partitions.stage import tick_topics
from homma.topics.kafka.admin import Admin
from homma.topics.ticks import ParsedBatch
from tests.support.engines import Engines, at_work, check, market
from tests.support.pipeline import Pipeline, tick, until

MINUTES = calendar_of(["m1", "m5"])
SECONDS = calendar_of(["s1", "m1"])
REFUSED = "a running engine of group {} has the intervals m1,m5, but --intervals is s1,m1; stop all"


def engine(
    pipeline: Pipeline, client_ids: Callable[[str], Sequence[str]], **settings: Any
) -> Loop[ParsedBatch]:
    """An engine that works to the end and learns from `client_ids` who the members are."""
    topics = tick_topics(pipeline.config, pipeline.topics, Admin(pipeline.config))
    settings = {"until_end": True, **settings}
    return candle_loop(
        replace(topics, client_ids=client_ids),
        replace(pipeline.settings, **settings),
        pipeline.metrics,
    )


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
    monkeypatch.setattr(loop, "wait_for_members", Mock())
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


def test_members_are_asked_for_unless_the_last_commit_was_made_with_the_same_intervals(
    bootstrap: str,
) -> None:
    """A partition stays closed while they are unknown."""
    pipeline = Pipeline(bootstrap, calendar=MINUTES)
    members = Admin(pipeline.config).client_ids
    questions: list[str] = []

    def answers_the_third(group: str) -> Sequence[str]:
        questions.append(group)
        if len(questions) < 3:
            raise KafkaError("the members are unknown", "wait")
        return members(group)

    pipeline.send(tick("2025-03-20T14:30:10", number=1))
    engine(pipeline, answers_the_third).run(lambda: False)
    # Before joining, and twice for a partition without a commit.
    assert len(questions) == 3
    pipeline.send(tick("2025-03-20T14:30:11", number=2))
    engine(pipeline, answers_the_third).run(lambda: False)
    assert len(questions) == 4
    pipeline.choose(SECONDS)
    pipeline.send(tick("2025-03-20T14:31:10", number=3))
    engine(pipeline, answers_the_third).run(lambda: False)
    assert len(questions) == 6
    assert pipeline.candle("m1", "2025-03-20T14:30:00")["volume"] == 2
    assert pipeline.candle("s1", "2025-03-20T14:31:10")["volume"] == 1


def test_a_rebuild_that_has_to_wait_for_an_answer_is_still_a_rebuild(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap, calendar=MINUTES)
    pipeline.send(tick("2025-03-20T14:30:10", number=1))
    pipeline.work_off()
    errors = [KafkaError("the members are unknown", "wait") for _ in range(2)]

    def answers_the_third(group: str) -> Sequence[str]:
        if errors:
            raise errors.pop()
        return Admin(pipeline.config).client_ids(group)

    engine(pipeline, answers_the_third, rebuild=True, price="bid").run(lambda: False)
    assert errors == []
    assert pipeline.candle("m1", "2025-03-20T14:30:00")["close"] == 0.5
