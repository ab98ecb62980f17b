"""The recipe for a sink: `homma land` writes to SQLite."""

import sqlite3
from contextlib import closing
from dataclasses import replace

from tests.recipes.recipe import creating, follow, replacing
from tests.support.homma_copy import PROJECT, HommaCopy
from tests.support.pipeline import Pipeline, tick

#: The example that the recipe names, without its program.
[SINK, _] = (PROJECT / "tests/lake/sqlite_sinks.py").read_text("utf-8").split("def main(")
TEST = '''\
"""Sinks that write to SQLite."""

from pathlib import Path

import pytest

from homma.errors import StaleSink
from homma.lake.land.sink import SourceTopic
from homma.lake.land.sqlite import SqliteSink, sqlite_sinks
from homma.metrics import LAND, Metrics


def opened(file: Path) -> SqliteSink:
    [sink] = sqlite_sinks(file, Metrics(LAND))([SourceTopic("ticks", "id", None)])
    assert isinstance(sink, SqliteSink)
    return sink


def test_a_sink_continues_from_its_position_until_it_is_replaced(tmp_path: Path) -> None:
    first = opened(tmp_path / "lake")
    assert first.position == {}
    first.store(lambda db: None, {0: 7})
    second = opened(tmp_path / "lake")
    assert second.position == {0: 7}
    with pytest.raises(StaleSink):
        first.store(lambda db: None, {0: 8})
'''
RUN = """\
    open_landing(sinks, to_land, settings, land_metrics).run(stopped)
"""
ICEBERG = f"""\
    try:
        sinks = iceberg_sinks(lake, settings, land_metrics, stopped, on_step)
    {RUN}    finally:
        lake.close()
"""
SQLITE = f"""\
    sinks = sqlite_sinks(Path(catalog.namespace), land_metrics, on_step)
{RUN}"""
EDITS = {
    "src/homma/lake/land/sqlite.py": creating(SINK),
    "src/homma/cli/verbs/land.py": replacing(
        (
            "from collections.abc import Callable\n",
            "from collections.abc import Callable\nfrom pathlib import Path\n",
        ),
        ("iceberg.opening import iceberg_sinks\n", "sqlite import sqlite_sinks\n"),
        ("    lake = Lake(catalog.properties, catalog.namespace, _commit_steps(on_step))\n", ""),
        (ICEBERG, SQLITE),
    ),
    "tests/lake/test_sqlite.py": creating(TEST),
}


def test_candles_in_sqlite(project: HommaCopy, bootstrap: str) -> None:
    follow(project, "Add a sink", EDITS, sink="sqlite")
    project.passes("tests/lake/test_sqlite.py")
    pipeline = Pipeline(bootstrap)
    pipeline.send(tick("2025-03-20T14:31:01", 10, 1), tick("2025-03-20T14:32:01", 12, 2))
    pipeline.work_off()
    topics = ("--topic", pipeline.topics.ticks, "--candle-topic", pipeline.name + "_{name}")
    common = ("--bootstrap.servers", bootstrap, "--namespace", "landed.sqlite", "--until-end")
    # The command asks for the lake's login before it opens any sink.
    login = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    # The second run finds that everything is there.
    for _ in range(2):
        replace(project, variables=login).homma("land", *common, *topics)
    with closing(sqlite3.connect(project.root / "landed.sqlite")) as db:
        ticks = db.execute("SELECT mid FROM stock_ticks_iceberg ORDER BY mid").fetchall()
        hours = db.execute("SELECT open, close, volume FROM candle_1hour_iceberg").fetchall()
    assert (ticks, hours) == ([(10,), (12,)], [(10, 12, 2)])
