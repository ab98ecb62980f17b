"""Commands find a running `homma up` by its data folder; what the user sets takes precedence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from homma.cli.catalog import Catalog
from homma.cli.discovery import continued, recorded
from homma.cli.options import read_file, with_settings
from homma.core.calendar import calendar_of
from homma.settings import (
    AggregateSettings,
    GenerateSettings,
    KafkaSettings,
    LakeSettings,
    TopicSettings,
    UpSettings,
    VerifySettings,
)
from homma.stack.processes.folder import Folder, claim
from homma.stack.servers.credentials import ensure_credentials
from homma.topics.kafka.connection import Connection

BROKER = "127.0.0.1:19092"
LAKE = {"catalog_uri": "http://127.0.0.1:18181", "s3_endpoint": "http://127.0.0.1:18333"}
DEFAULTS = {
    "bootstrap": "127.0.0.1:9092",
    "topic": "stock_ticks",
    "intervals": "m1,m5,m10,m15,m30,h1,h3,h4,D1,W1,M1",
    "group": "homma",
    "price": "mid",
    "catalog": "http://127.0.0.1:8181",
    "s3": "http://127.0.0.1:8333",
}
RUNNING = {
    "bootstrap": BROKER,
    "topic": "quotes",
    "intervals": "s1,m1",
    "group": "mine",
    "price": "bid",
    "catalog": LAKE["catalog_uri"],
    "s3": LAKE["s3_endpoint"],
}
OF_LAKE = {"catalog", "s3"}


@click.command()
@with_settings(KafkaSettings, TopicSettings, LakeSettings, VerifySettings)
def probe(
    connection: Connection, topics: TopicSettings, catalog: Catalog, settings: VerifySettings
) -> None:
    """Print the settings that a command gets."""
    values = {
        "bootstrap": connection["bootstrap.servers"],
        "topic": topics.topic,
        "intervals": str(topics.intervals),
        "group": settings.group,
        "price": settings.price,
        "catalog": catalog.raw["uri"],
        "s3": catalog.raw["s3.endpoint"],
        "key": catalog.raw.get("s3.access-key-id", ""),
    }
    click.echo(json.dumps(values))


def run(home: Path, *words: str, file: Path | None = None, **variables: str) -> dict[str, str]:
    default_map, properties = read_file(file) if file else ({}, {})
    result = CliRunner().invoke(
        probe,
        ["--dir", str(home), *words],
        env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", **variables},
        default_map=default_map,
        obj=properties,
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    values: dict[str, str] = json.loads(result.stdout)
    return values


def without_key(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name != "key"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def folder(home: Path) -> Iterator[Folder]:
    """A folder in which `homma up` runs: this process owns it."""
    topics = TopicSettings(topic="quotes", intervals=calendar_of(["s1", "m1"]))
    engine = AggregateSettings(group="mine", price="bid")
    with claim(home) as folder:
        folder.record_settings(
            recorded(BROKER, LAKE, topics, engine, GenerateSettings(), UpSettings())
        )
        yield folder


def test_a_command_takes_what_is_not_set_from_the_running_pipeline(
    home: Path, folder: Folder
) -> None:
    key = ensure_credentials(home).access_key
    assert run(home) == RUNNING | {"key": key}
    # The lake that was found has a login of its own, whatever the environment has for another one.
    assert run(home, AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="x") == RUNNING | {"key": key}
    folder.release()
    assert without_key(run(home)) == DEFAULTS


def test_the_next_start_continues_what_the_folder_holds(tmp_path: Path) -> None:
    def is_given(name: str) -> bool:
        return name == "prices"

    assert continued(tmp_path, is_given) == {}
    engine = AggregateSettings(price="trade", prices="any")
    with claim(tmp_path) as folder:
        ticks, up = GenerateSettings(kind="trades"), UpSettings(no_generate=True)
        folder.record_settings(recorded(BROKER, LAKE, TopicSettings(), engine, ticks, up))
    # Also after a start that failed, and after `homma down`.
    claim(tmp_path).release()
    assert continued(tmp_path, is_given) == {
        "price": "trade",
        "kind": "trades",
        "ingest": "",
        "no_generate": True,
    }


def test_nothing_is_found_where_no_pipeline_has_run(home: Path) -> None:
    assert without_key(run(home)) == DEFAULTS


@pytest.mark.usefixtures("folder")
def test_what_the_user_sets_takes_precedence(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "homma.toml"
    file.write_text('price = "ask"\n')
    assert without_key(run(home, file=file)) == RUNNING | {"price": "ask"}
    assert without_key(run(home, HOMMA_PRICE="mid")) == RUNNING | {"price": "mid"}
    assert without_key(run(home, "--group", "homma")) == RUNNING | {"group": "homma"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("way", ["flag", "variable", "file", "property", "file of properties"])
def test_other_brokers_are_another_installation(home: Path, tmp_path: Path, way: str) -> None:
    server, file = "broker:9092", tmp_path / "homma.toml"
    words: dict[str, list[str]] = {
        "flag": ["--bootstrap.servers", server],
        "property": ["-X", f"bootstrap.servers={server}"],
    }
    texts = {
        "file": f'bootstrap_servers = "{server}"\n',
        "file of properties": f'[kafka]\n"bootstrap.servers" = "{server}"\n',
    }
    file.write_text(texts.get(way, ""))
    variables = {"HOMMA_BOOTSTRAP_SERVERS": server} if way == "variable" else {}
    values = run(home, *words.get(way, []), file=file, **variables)
    expected: dict[str, Any] = DEFAULTS | {name: RUNNING[name] for name in OF_LAKE}
    assert without_key(values) == expected | {"bootstrap": server}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--catalog-uri", "http://other"], "catalog"),
        (["--s3-endpoint", "http://other"], "s3"),
        (["-C", "uri=http://other"], "catalog"),
    ],
)
def test_another_lake_has_another_login(home: Path, words: list[str], name: str) -> None:
    values = run(home, *words, AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="x")
    expected = RUNNING | {lake: DEFAULTS[lake] for lake in OF_LAKE}
    assert values == expected | {name: "http://other", "key": "other"}
