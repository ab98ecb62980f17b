"""`homma verify`, `repair` and `backfill` as they are typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homma.cli.main import homma
from homma.errors import SettingError, StateError
from tests.aggregate.pipeline import Pipeline
from tests.faults.engines import Feed, market
from tests.lake.sinks import Sinks
from tests.lake.weed import Weed


class Typed:
    """A pipeline and its lake, asked by the command line."""

    def __init__(self, server: Weed, sinks: Sinks) -> None:
        self.server = server
        self.sinks = sinks

    def __call__(self, verb: str, *words: str) -> Result:
        pipeline = self.sinks.pipeline
        where = [
            "--namespace",
            self.sinks.namespace,
            "--catalog-uri",
            self.server.properties["uri"],
            "--s3-endpoint",
            self.server.properties["s3.endpoint"],
            "-C",
            f"oauth2-server-uri={self.server.properties['oauth2-server-uri']}",
            "--bootstrap.servers",
            pipeline.bootstrap,
            "--topic",
            pipeline.topics.ticks,
            "--candle-topic",
            pipeline.name + "_{name}",
            "--group",
            pipeline.settings.group,
        ]
        said = CliRunner().invoke(homma, [verb, *where, *words], env=self.server.environment)
        if said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        return said


@pytest.fixture
def typed(
    bootstrap: str, server: Weed, lake: dict[str, str], namespace: str, tmp_path: Path
) -> Typed:
    return Typed(server, Sinks(Pipeline(bootstrap), lake, namespace, tmp_path))


def test_late_ticks_are_told_mended_and_told_no_more(typed: Typed) -> None:
    sinks = typed.sinks
    with Feed(sinks.pipeline, market(31, 3_000, 3), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    said = typed("verify", "--json")
    assert said.exit_code == 1
    told = json.loads(said.stdout)
    wrong = sum(n for counts in told["topics"].values() for v, n in counts.items() if v != "equal")
    assert told["wrong"] == 2 * wrong > 0
    assert {one["verdict"] for one in told["examples"]["topics"]} <= {"missing", "different"}
    text = typed("verify").stdout
    assert "candles are wrong; `homma repair` mends them" in text
    assert "different: " in text
    assert typed("verify", "--tables-only", "SYM0", "--from", "2025-03-20T13:00").exit_code in (
        0,
        1,
    )
    # Nothing is published where it is only asked.
    assert "nothing was published" in typed("repair", "--dry-run").stdout
    assert json.loads(typed("verify", "--json").stdout)["wrong"] == told["wrong"]
    done = json.loads(typed("repair", "--late", "--json").stdout)
    assert sum(done["published"].values()) == wrong
    assert done["removed"] == {}
    # The tables have not taken it yet, which is not wrong.
    said = typed("verify", "--json")
    assert (said.exit_code, json.loads(said.stdout)["wrong"]) == (0, 0)
    behind = [counts.get("behind", 0) for counts in json.loads(said.stdout)["tables"].values()]
    assert sum(behind) == wrong
    sinks.work_off()
    assert "all is right" in typed("verify").stdout
    assert "all is right" in typed("repair").stdout


def test_what_does_not_fit_is_one_sentence(typed: Typed) -> None:
    sinks = typed.sinks
    with Feed(sinks.pipeline, market(32, 2_000, 2), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    with pytest.raises(StateError, match="the candles are made of mid, and --price says bid"):
        typed("verify", "--price", "bid")
    with pytest.raises(StateError, match="the candles are made of mid, and --price says ask"):
        typed("repair", "--price", "ask")
    with pytest.raises(SettingError, match="--from never is no instant"):
        typed("repair", "--from", "never")
    with pytest.raises(StateError, match="has committed nothing"):
        typed("repair", "--group", "nobody")


def test_a_file_becomes_candles(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    lines = [f"A,{n},{1 + n % 7},2025-03-20T12:00:{n % 60:02}.000" for n in range(200)]
    path.write_text("symbol,number,mid,dateTime\n" + "\n".join(lines))
    told = json.loads(typed("backfill", str(path), "--source", "S", "--json").stdout)
    assert (told["ticks"], told["skipped"], told["published"]) == (200, 0, 11)
    typed.sinks.work_off()
    assert typed("verify").exit_code == 0
    again = json.loads(typed("backfill", str(path), "--source", "S", "--json").stdout)
    assert again["published"] == 0
    candles = typed.sinks.rows("candle_1min_iceberg")
    assert candles["volume"].to_list() == [200]
