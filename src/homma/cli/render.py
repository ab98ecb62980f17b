"""`homma render`: write the files that are rendered from the code, or check them."""

import difflib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module, metadata
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from homma.cli import reference
from homma.errors import SettingError
from homma.rendered import dbt, deployments, prometheus, trino
from homma.topics import asyncapi, schemas

#: Returns the text of a file; the reference pages need the program for its commands.
Renderer = Callable[[click.Group], str]

_DIFF_LINES: Final = 12


def _json(table: dict[str, Any]) -> str:
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _constant(text: str, program: click.Group) -> str:
    del program
    return text


def _dashboard(name: str) -> str:
    try:
        module = import_module(f"homma.rendered.grafana.{name}")
    except ModuleNotFoundError as error:
        raise SettingError(
            f"{error.name}, which renders the dashboards, is not installed",
            "run `make .venv/ready`, and use .venv/bin/homma",
        ) from error
    text: str = module.dashboard()
    return text


#: The renderer of every rendered file, by the path of the file in the project.
RENDERED: Final[dict[str, Renderer]] = {
    "docs/reference/asyncapi.json": lambda _: _json(asyncapi.document(metadata.version("homma"))),
    "docs/reference/tick.schema.json": lambda _: _json(schemas.tick()),
    "docs/reference/candle.schema.json": lambda _: _json(schemas.candle()),
    "docs/reference/settings.md": reference.settings,
    "docs/reference/metrics.md": reference.metrics,
    "docs/reference/topics.md": reference.topics,
    "docs/reference/commands.md": reference.commands,
    "deploy/grafana/dashboards/candles.json": lambda _: _dashboard("candles"),
    "deploy/grafana/dashboards/pipeline.json": lambda _: _dashboard("pipeline"),
    "deploy/prometheus/compose/homma.json": lambda _: prometheus.containers(),
    "deploy/trino/catalog/kafka.properties": lambda _: trino.catalog(),
    "deploy/trino/views.sql": lambda _: trino.views(),
    **{
        f"deploy/trino/kafka/{name}": partial(_constant, text)
        for name, text in trino.table_files().items()
    },
    **{path: partial(_constant, text) for path, text in dbt.files().items()},
    "deploy/flink/candles.sql": lambda _: deployments.flink_sql(),
    "deploy/flink/compose.yaml": lambda _: deployments.flink_compose(),
    "deploy/flink/flinkdeployment.yaml": lambda _: deployments.flink_kubernetes(),
    "ksqldb/create-entities.sql": lambda _: deployments.ksqldb_sql(),
    "terraform/ksql/topics.json": lambda _: deployments.confluent_topics(),
    "terraform/ksql/statements.json": lambda _: deployments.confluent_statements(),
}


@click.command()
@click.option("--check", is_flag=True, help="write nothing; exit with status 1 if a file differs")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=True,
    help="the project's folder",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def render(context: click.Context, check: bool, root: Path, as_json: bool) -> None:
    """Write or check the files rendered from the code.

    Developers of homma run this after changing settings, metrics, topics or commands.

    \b
    Example:
      homma render
      homma render --check
    """
    if not (root / "pyproject.toml").exists():
        raise SettingError(
            f"{root.absolute()} is not homma's project folder",
            "specify the project folder with --root",
        )
    program = context.find_root().command
    assert isinstance(program, click.Group)
    texts = {name: renderer(program) for name, renderer in RENDERED.items()}
    differing = [name for name, text in texts.items() if _read(root / name) != text]
    if check:
        _print_result(
            {"differ": differing}, as_json, (_difference(root, n, texts[n]) for n in differing)
        )
        sys.exit(1 if differing else 0)
    for name in differing:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8", newline="\n")
    _print_result({"written": differing}, as_json, (f"wrote {name}" for name in differing))


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _difference(root: Path, name: str, text: str) -> str:
    """Return a short diff of a file."""
    current = _read(root / name)
    if current is None:
        return f"{name} is missing or not text: run `homma render`"
    lines = difflib.unified_diff(
        current.splitlines(), text.splitlines(), name, "as rendered", lineterm="", n=0
    )
    shown = list(islice(lines, 2, 2 + _DIFF_LINES + 1))
    more = ["…"] if len(shown) > _DIFF_LINES else []
    return "\n".join(
        [
            f"{name} differs: run `homma render`",
            *(f"  {line}" for line in [*shown[:_DIFF_LINES], *more]),
        ]
    )


def _print_result(table: dict[str, list[str]], as_json: bool, lines: Iterator[str]) -> None:
    if as_json:
        click.echo(json.dumps(table))
        return
    for line in lines:
        click.echo(line)
    if not any(table.values()):
        click.echo(f"all {len(RENDERED)} files are up to date")
