"""`homma feeds` lists, shows and tries definitions; `replay` reads files by them."""

import json
import subprocess
import sys
from pathlib import Path

from homma.topics.kafka.writing import Sender
from tests.support.pipeline import Pipeline

OWN = """\
watermark_delay = "3s"

[feeds.mine]
about = "Trades of my own"
format = "json"
each = "trades"
source = "MINE"
symbol = { field = "/pair" }
price = { field = "p" }
size = { field = "q" }
number = { field = "id" }
date_time = { field = "@timestamp", unit = "ms" }
"""
FILE_FEED = OWN.replace('"@timestamp"', '"t"')
MESSAGE = b'{"pair": "AB", "trades": [{"id": 1, "p": "1.5", "q": 0.25, "t": 1714988100212}]}'


def homma(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "homma", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_feeds_are_listed_and_shown(tmp_path: Path) -> None:
    (tmp_path / "homma.toml").write_text(OWN)
    listed = homma(tmp_path, "feeds").stdout
    assert "mine " in listed
    assert "Trades of my own  (homma.toml)" in listed
    assert "truefx " in listed
    assert homma(tmp_path, "feeds", "show", "mine").stdout.startswith("[feeds.mine]\n")
    # What is shown can be copied to homma.toml.
    shown = homma(tmp_path, "feeds", "show", "oanda").stdout
    (tmp_path / "homma.toml").write_text(shown)
    assert homma(tmp_path, "feeds", "show", "oanda").stdout == shown


def test_a_file_is_tried(tmp_path: Path) -> None:
    (tmp_path / "homma.toml").write_text(FILE_FEED)
    (tmp_path / "t.json").write_bytes(MESSAGE)
    process = homma(tmp_path, "feeds", "try", "mine", "t.json")
    assert process.returncode == 0, process.stderr
    header, row, count = process.stdout.splitlines()
    assert header.split() == ["source", "symbol", "price", "size", "number", "dateTime"]
    assert row.split() == ["MINE", "AB", "1.5", "0.25", "1", "2024-05-06T09:35:00.212"]
    assert count == "1 tick in the first 1 record"
    (tmp_path / "t.json").write_bytes(MESSAGE.replace(b'"1.5"', b'"high"'))
    process = homma(tmp_path, "feeds", "try", "mine", "t.json", "--json")
    assert process.returncode == 1
    assert json.loads(process.stdout)["errors"] == [
        "record 1: p has 'high', which is not a finite number"
    ]


def test_an_error_names_the_line_of_homma_toml(tmp_path: Path) -> None:
    (tmp_path / "homma.toml").write_text(OWN.replace("unit =", "unti ="))
    process = homma(tmp_path, "feeds", "try", "mine", "t.json")
    assert process.returncode == 2
    assert "homma.toml, line 12: date_time has unti, which is not known; did you mean unit?" in (
        process.stderr
    )


def test_neither_a_file_nor_a_topic_is_an_error(tmp_path: Path) -> None:
    process = homma(tmp_path, "feeds", "try", "oanda")
    assert process.returncode == 2
    assert "neither or both of a file and --topic are given; give one of them" in process.stderr


def test_a_topic_is_tried(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    sender = Sender(pipeline.config)
    sender.send(pipeline.topics.ticks, [b"k", b"k"], [MESSAGE, b"not JSON"])
    assert sender.flush(10) == 0
    (tmp_path / "homma.toml").write_text(OWN)
    flags = ["--topic", pipeline.topics.ticks, "--bootstrap.servers", bootstrap, "--json"]
    process = homma(tmp_path, "feeds", "try", "mine", *flags)
    assert process.returncode == 0, process.stderr
    assert "1 of 2 records are malformed" in process.stderr
    [tick] = json.loads(process.stdout)["first"]
    assert (tick["symbol"], tick["price"], tick["size"]) == ("AB", 1.5, 0.25)
    process = homma(tmp_path, "feeds", "try", "mine", "--topic", "none", *flags[2:])
    assert "topic none does not exist" in process.stderr


def test_a_file_is_replayed_by_a_definition(bootstrap: str, tmp_path: Path) -> None:
    pipeline = Pipeline(bootstrap)
    (tmp_path / "homma.toml").write_text(FILE_FEED)
    (tmp_path / "t.json").write_bytes(MESSAGE)
    topic = ["--bootstrap.servers", bootstrap, "--topic", pipeline.topics.ticks]
    process = homma(
        tmp_path, "replay", "t.json", "--feed", "mine", "--speed", "max", *topic, "--json"
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout.splitlines()[-1])["sent"] == 1
    process = homma(tmp_path, "replay", "t.json", "--feed", "truefx", "--column", "mid=p", *topic)
    assert "--column does not go with the feed definition truefx" in process.stderr
