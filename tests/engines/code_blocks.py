"""The code blocks of docs/reading-the-lake.md, and how they are run."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

from tests.engines.conftest import ROOT, TRADED

PAGE = ROOT / "docs" / "reading-the-lake.md"
PAIR = r"^{} (\w+)\n.*?```(\w+)\n(.*?)```\s+```text\n(.*?)```"


@dataclass(frozen=True)
class CodeBlock:
    """A code block of the page, and the output shown below it."""

    engine: str
    language: str
    code: str
    output: str


def code_blocks() -> dict[str, CodeBlock]:
    """The code block of each engine."""
    return _blocks("##")


def traded_blocks() -> dict[str, CodeBlock]:
    """The code block of each engine in a lake of trades, which continues that of `code_blocks`."""
    return _blocks("###")


def _blocks(heading: str) -> dict[str, CodeBlock]:
    pair = re.compile(PAIR.format(heading), re.DOTALL | re.MULTILINE)
    blocks = [CodeBlock(*parts) for parts in pair.findall(PAGE.read_text(encoding="utf-8"))]
    return {block.engine: block for block in blocks}


def of_trades(code: str) -> str:
    """Code with the tables and views of this run's lake of trades."""
    return code.replace("market_data.", f"{TRADED}.").replace(" lake.candle", " traded_lake.candle")


def run(code: str, environment: dict[str, str], **replacements: str) -> str:
    """Run a code block with this lake's addresses in place of the default ones."""
    addresses = {
        "http://127.0.0.1:8181": environment["HOMMA_CATALOG_URI"],
        "http://127.0.0.1:8333": environment["HOMMA_S3_ENDPOINT"],
        "127.0.0.1:8333": environment["HOMMA_S3_ENDPOINT"].removeprefix("http://"),
    } | replacements
    for default, address in addresses.items():
        code = code.replace(default, address)
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        text=True,
        capture_output=True,
        check=False,
        env=os.environ | environment | {"TZ": "America/New_York"},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
