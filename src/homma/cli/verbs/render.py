"""`homma render`: write the files that are rendered from the code, or check them."""

import difflib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module, metadata
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from homma.cli import reference
from homma.cli.options import PREFIX, SettingType
from homma.core.calendar import DEFAULT_CALENDAR, Calendar, calendar_of
from homma.core.interval import BY_CODE
from homma.errors import SettingError
from homma.rendered import dbt, deployments, page, prometheus, trino
from homma.setting_values import all_settings
from homma.topics import asyncapi, schemas

#: Returns the text of a file; the reference pages need the program for its commands.
Renderer = Callable[[click.Group], str]

_INTERVALS: Final = all_settings()["intervals"]
_DIFF_LINES: Final = 12


def _json(table: dict[str, Any]) -> str:
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _constant(text: str, program: click.Group) -> str:
    del program
    return text


def _dashboard(name: str, *arguments: Any) -> str:
    try:
        module = import_module(f"homma.rendered.grafana.{name}")
    except ModuleNotFoundError as error:
        raise SettingError(
            f"{error.name}, which renders the dashboards, is not installed",
            "run `make .venv/ready`, and use .venv/bin/homma",
        ) from error
    text: str = module.dashboard(*arguments)
    return text


#: The renderers of the files that no calendar changes; the reference pages show the defaults.
_FIXED: Final[Mapping[str, Renderer]] = {
    "docs/reference/asyncapi.json": lambda _: _json(asyncapi.document(metadata.version("homma"))),
    "docs/reference/tick.schema.json": lambda _: _json(schemas.tick()),
    "docs/reference/candle.schema.json": lambda _: _json(schemas.candle()),
    "docs/reference/settings.md": reference.settings,
    "docs/reference/metrics.md": reference.metrics,
    "docs/reference/topics.md": reference.topics,
    "docs/reference/commands.md": reference.commands,
    "deploy/grafana/dashboards/pipeline.json": lambda _: _dashboard("pipeline"),
    "deploy/prometheus/compose/homma.json": lambda _: prometheus.containers(),
}


def renderers(calendar: Calendar) -> dict[str, Renderer]:
    """The renderer of every rendered file, by the path of the file in the project."""
    trino_files = {f"deploy/trino/{name}": text for name, text in trino.files(calendar).items()}
    texts = trino_files | dbt.files(calendar)
    return {
        **_FIXED,
        **{path: partial(_constant, text) for path, text in texts.items()},
        "deploy/grafana/dashboards/candles.json": lambda _: _dashboard("candles", calendar),
        "deploy/grafana/dashboards/intervals.json": lambda _: _dashboard("intervals", calendar),
        "deploy/flink/candles.sql": lambda _: deployments.flink_sql(calendar),
        "deploy/flink/compose.yaml": lambda _: deployments.flink_compose(calendar),
        "deploy/flink/flinkdeployment.yaml": lambda _: deployments.flink_kubernetes(calendar),
        "src/homma/serve/page/src/fields.ts": lambda _: page.fields(),
        "ksqldb/create-entities.sql": lambda _: deployments.ksqldb_sql(calendar),
        "terraform/ksql/topics.json": lambda _: deployments.confluent_topics(calendar),
        "terraform/ksql/statements.json": lambda _: deployments.confluent_statements(calendar),
    }


def _obsolete(root: Path, calendar: Calendar) -> list[str]:
    """The files that exist and belong to intervals that the calendar does not have."""
    of_any_calendar = renderers(calendar_of(BY_CODE)).keys()
    names = sorted(of_any_calendar - renderers(calendar).keys())
    return [name for name in names if (root / name).exists()]


@click.command()
@click.option("--check", is_flag=True, help="write nothing; exit with status 1 if a file differs")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=True,
    help="the project's folder",
)
@click.option(
    "--intervals",
    type=SettingType(_INTERVALS),
    default=DEFAULT_CALENDAR,
    envvar=PREFIX + "INTERVALS",
    metavar="CODES",
    help="intervals of the files for deployments; documentation shows the defaults"
    f"  [{DEFAULT_CALENDAR}]",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def render(
    context: click.Context, check: bool, root: Path, intervals: Calendar, as_json: bool
) -> None:
    """Write or check the files rendered from the code.

    Developers of homma run this after changing settings, metrics, topics or commands; an
    installation with other intervals, to render the files of its deployments.

    \b
    Example:
      homma render
      homma render --check
      homma render --intervals s10,m1,h2,D1
    """
    if not (root / "pyproject.toml").exists():
        raise SettingError(
            f"{root.absolute()} is not homma's project folder",
            "specify the project folder with --root",
        )
    program = context.find_root().command
    assert isinstance(program, click.Group)
    texts = {name: renderer(program) for name, renderer in renderers(intervals).items()}
    differing = [name for name, text in texts.items() if _read(root / name) != text]
    obsolete = _obsolete(root, intervals)
    if check:
        lines = [_difference(root, name, texts[name]) for name in differing]
        lines += [f"{name} is of an interval not rendered: run `homma render`" for name in obsolete]
        _print_result({"differ": [*differing, *obsolete]}, lines, len(texts), as_json)
        sys.exit(1 if lines else 0)
    for name in differing:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8", newline="\n")
    for name in obsolete:
        (root / name).unlink()
    lines = [f"wrote {name}" for name in differing] + [f"removed {name}" for name in obsolete]
    _print_result({"written": differing, "removed": obsolete}, lines, len(texts), as_json)


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


def _print_result(
    table: dict[str, list[str]], lines: Sequence[str], count: int, as_json: bool
) -> None:
    if as_json:
        click.echo(json.dumps(table))
        return
    for line in lines or [f"all {count} files are up to date"]:
        click.echo(line)
