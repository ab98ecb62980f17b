"""The recipe for a setting: a flag, a variable, an entry in homma.toml and their documentation."""

import json
from dataclasses import replace

from tests.recipes.recipe import appending, follow, replacing
from tests.support.homma_copy import HommaCopy
from tests.support.pipeline import Pipeline

ROW = """\
    symbol_prefix: str = setting("", "text before each symbol")
    seed: str = setting(
        "",
        "seed of the random generator"""
USE = """\
    instruments = [
        replace(item, symbol=settings.symbol_prefix + item.symbol) for item in instruments
    ]
    return Synthetic("""
TEST = """

def test_symbols_have_the_prefix() -> None:
    source = sources.synthetic(GenerateSettings(symbol_prefix="T.", rate=1_000), START_US)
    records = source.take(START_US + SECOND_US, 100)
    assert records is not None
    assert set(checked(records.values)["symbol"].str.head(2)) == {"T."}
"""
EDITS = {
    "src/homma/settings.py": replacing(
        ('    seed: str = setting(\n        "",\n        "seed of the random generator', ROW)
    ),
    "src/homma/feed/sources.py": replacing(
        ("from math import inf\n", "from dataclasses import replace\nfrom math import inf\n"),
        ("    return Synthetic(", USE),
    ),
    "tests/feed/test_sources.py": appending(TEST),
}


def test_a_prefix_of_symbols(project: HommaCopy, bootstrap: str) -> None:
    follow(project, "Add a setting", EDITS, module="feed/sources", test="feed/test_sources")
    project.passes("tests/feed/test_sources.py", "-k", "prefix")
    page = (project.root / "docs" / "reference" / "settings.md").read_text("utf-8")
    assert "| `--symbol-prefix TEXT` | `HOMMA_SYMBOL_PREFIX` | `symbol_prefix` |" in page
    # Each place precedes the former one.
    assert prefix(project, bootstrap) == ""
    (project.root / "homma.toml").write_text('symbol_prefix = "file."\n')
    assert prefix(project, bootstrap) == "file."
    with_variable = replace(project, variables={"HOMMA_SYMBOL_PREFIX": "variable."})
    assert prefix(with_variable, bootstrap) == "variable."
    assert prefix(with_variable, bootstrap, "--symbol-prefix", "flag.") == "flag."


def prefix(project: HommaCopy, bootstrap: str, *flags: str) -> str:
    """What comes before the first symbol that `homma generate` sends."""
    pipeline = Pipeline(bootstrap)
    topic = pipeline.topics.ticks
    topics = ("--topic", topic, "--candle-topic", pipeline.name + "_{name}")
    common = ("--bootstrap.servers", bootstrap, "--series", "2", "--limit", "2")
    project.homma("generate", *common, *topics, *flags)
    [first, _] = pipeline.records(topic)
    symbol = json.loads(first.value() or b"")["symbol"]
    return str(symbol.removesuffix(symbol.rpartition(".")[2]))
