"""`homma verify`, `repair` and `backfill` on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homma.cli.main import homma
from homma.errors import SettingError, StateError
from tests.support.engines import Feed, market
from tests.support.pipeline import Pipeline
from tests.support.sinks import Sinks
from tests.support.weed import Weed


class CommandLine:
    """Runs commands on a pipeline and its lake."""

    def __init__(self, server: Weed, sinks: Sinks) -> None:
        self.server = server
        self.sinks = sinks

    def __call__(self, command: str, *args: str) -> Result:
        pipeline = self.sinks.pipeline
        options = [
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
            "--intervals",
            str(pipeline.calendar),
            "--group",
            pipeline.settings.group,
        ]
        result = CliRunner().invoke(homma, [command, *options, *args], env=self.server.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def run(
    bootstrap: str, server: Weed, lake: dict[str, str], namespace: str, tmp_path: Path
) -> CommandLine:
    return CommandLine(server, Sinks(Pipeline(bootstrap), lake, namespace, tmp_path))


def test_late_ticks_are_reported_repaired_and_no_longer_reported(run: CommandLine) -> None:
    sinks = run.sinks
    with Feed(sinks.pipeline, market(31, 3_000, 3), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    result = run("verify", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    wrong = sum(
        n for counts in report["topics"].values() for v, n in counts.items() if v != "equal"
    )
    assert report["wrong"] == 2 * wrong > 0
    assert {example["verdict"] for example in report["examples"]["topics"]} <= {
        "missing",
        "different",
    }
    text = run("verify").stdout
    assert "candles are wrong; run `homma repair`" in text
    assert "different: " in text
    assert run("verify", "--tables-only", "SYM0", "--from", "2025-03-20T13:00").exit_code in (
        0,
        1,
    )
    # A dry run publishes nothing.
    assert "nothing was published" in run("repair", "--dry-run").stdout
    assert json.loads(run("verify", "--json").stdout)["wrong"] == report["wrong"]
    report = json.loads(run("repair", "--late", "--json").stdout)
    assert sum(report["published"].values()) == wrong
    assert report["removed"] == {}
    # The tables are behind, which is not wrong.
    result = run("verify", "--json")
    assert (result.exit_code, json.loads(result.stdout)["wrong"]) == (0, 0)
    behind = [counts.get("behind", 0) for counts in json.loads(result.stdout)["tables"].values()]
    assert sum(behind) == wrong
    sinks.work_off()
    assert "no candle is wrong" in run("verify").stdout
    assert "no candle is wrong" in run("repair").stdout


def test_errors_are_one_sentence(run: CommandLine) -> None:
    sinks = run.sinks
    with Feed(sinks.pipeline, market(32, 2_000, 2), 0) as feed:
        feed.join()
    sinks.pipeline.work_off()
    sinks.work_off()
    with pytest.raises(StateError, match="the candles are built from mid, but --price is bid"):
        run("verify", "--price", "bid")
    with pytest.raises(StateError, match="the candles are built from mid, but --price is ask"):
        run("repair", "--price", "ask")
    with pytest.raises(SettingError, match="--from never is not a time"):
        run("repair", "--from", "never")
    with pytest.raises(StateError, match="has committed nothing"):
        run("repair", "--group", "nobody")


def test_backfill_of_a_file(run: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    lines = [f"A,{n},{1 + n % 7},2025-03-20T12:00:{n % 60:02}.000" for n in range(200)]
    path.write_text("symbol,number,mid,dateTime\n" + "\n".join(lines))
    report = json.loads(run("backfill", str(path), "--source", "S", "--json").stdout)
    assert (report["ticks"], report["skipped"], report["published"]) == (200, 0, 11)
    run.sinks.work_off()
    assert run("verify").exit_code == 0
    again = json.loads(run("backfill", str(path), "--source", "S", "--json").stdout)
    assert again["published"] == 0
    candles = run.sinks.rows("candle_1min_iceberg")
    assert candles["volume"].to_list() == [200]
