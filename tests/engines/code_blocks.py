"""The code blocks of docs/reading-the-lake.md, and how they are run."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

from tests.engines.conftest import ROOT

PAGE = ROOT / "docs" / "reading-the-lake.md"
PAIR = re.compile(r"^## (\w+)\n.*?```(\w+)\n(.*?)```\s+```text\n(.*?)```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """A code block of the page, and the output shown below it."""

    engine: str
    language: str
    code: str
    output: str


def code_blocks() -> dict[str, CodeBlock]:
    blocks = [CodeBlock(*parts) for parts in PAIR.findall(PAGE.read_text(encoding="utf-8"))]
    return {block.engine: block for block in blocks}


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
