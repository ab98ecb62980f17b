"""The commands of docs/feeds.md work, in their order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl

from homma.topics.contract import TopicSpec
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.writing import Sender
from tests.support.pipeline import Pipeline

PAGE = Path(__file__).parents[1] / "docs/feeds.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def send_messages(bootstrap: str, path: Path) -> None:
    """What the producer of the page does."""
    admin = Admin({"bootstrap.servers": bootstrap})
    admin.ensure([TopicSpec("exchange_trades", 1, {})], 1)
    sender = Sender({"bootstrap.servers": bootstrap})
    values = path.read_bytes().splitlines()
    sender.send("exchange_trades", [b""] * len(values), values)
    assert sender.flush(30) == 0


def test_the_commands_work_and_print_what_the_page_shows(bootstrap: str, tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    pipeline = Pipeline(bootstrap)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOMMA_BOOTSTRAP_SERVERS": bootstrap,
        "HOMMA_TOPIC": pipeline.topics.ticks,
    }
    blocks = [block for language, block in BLOCK.findall(text) if language == "sh"]
    assert len(blocks) >= 4
    printed = ""
    for block in blocks:
        if "homma ingest" in block:
            send_messages(bootstrap, tmp_path / "messages.ndjson")
        process = subprocess.run(
            ["bash", "-euc", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, block + process.stderr
        printed += process.stdout
    shown, error = (block for language, block in BLOCK.findall(text) if not language)
    assert shown in printed
    pipeline.work_off(price="trade")
    # Each trade was replayed and ingested: the second one is a duplicate.
    assert pipeline.counted("homma_ticks_duplicate") == 2
    minutes = pipeline.candles().filter(pl.col("interval") == "m1")
    assert set(minutes["symbol"]) == {"BTCUSD", "ETHUSD"}
    # The error of the page.
    path = tmp_path / "homma.toml"
    path.write_text(path.read_text().replace('size = { field = "q" }', "size = { scal = 1 }"))
    process = subprocess.run(
        ["homma", "feeds", "try", "exchange", "messages.ndjson"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == error
