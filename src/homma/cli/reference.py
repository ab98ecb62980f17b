"""The reference pages, rendered from the settings, metrics, topics and commands. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final

import click

from homma.cli.options import format_default, with_settings
from homma.durations import format_duration
from homma.metrics import STAGES as METRICS
from homma.metrics import Metric
from homma.settings import STAGES, KafkaSettings, TopicSettings
from homma.topics import contract
from homma.topics.contract import TopicSpec

_WIDTH: Final = 100
#: Configurations of a topic that have a column of their own.
_IN_COLUMNS: Final = ("cleanup.policy", "retention.ms")


def settings(program: click.Group) -> str:
    """Render every setting by stage, with the commands that use it."""
    parts = [
        "# Settings",
        "Each setting has a flag, an environment variable and an entry in `homma.toml`, in this "
        "order of precedence. `homma` reads `homma.toml` from the working directory, or the file "
        "given by `homma --config FILE`. Unknown names are errors. A duration is a number with "
        "one of the units ms, s, min, h, d.",
        "What is not set is taken from the `homma up` that runs in `--dir`, if there is one: the "
        "addresses and the login, the topics and intervals, the engine's group and price and when "
        "ticks are late. A command that is given other brokers takes only the lake from there; one "
        "that is given another catalog or S3 takes only Kafka from there. Otherwise the defaults "
        "below apply.",
        "Set other librdkafka properties with `-X name=value`, or in the table `[kafka]` of "
        "`homma.toml`; and other pyiceberg properties with `-C name=value`, or in `[catalog]`. The "
        "login for Kafka is read only from the variables `KAFKA_SASL_USERNAME` and "
        "`KAFKA_SASL_PASSWORD`.",
    ]
    for stage in STAGES:
        parts += [f"## {_title(stage)}", str(stage.__doc__).split("\n", 1)[0]]
        commands = ", ".join(f"`{name}`" for name in _users(program, stage))
        parts += [f"Used by {commands}.", _setting_table(stage)]
    return _page(parts)


def _title(stage: type) -> str:
    return stage.__name__.removesuffix("Settings")


def _users(program: click.Group, stage: type) -> list[str]:
    """Return the commands that have all flags of a stage."""
    # Compare the help too, because settings of different stages can share a name.
    flags = {(param.name, _help(param)) for param in _params(stage)}
    return [
        name
        for name, command in sorted(program.commands.items())
        if flags <= {(param.name, _help(param)) for param in command.params}
    ]


def _params(stage: type) -> list[click.Option]:
    """Return the flags of a stage, as a command has them."""

    def command(*_: Any) -> None:
        """Stand for any command."""

    decorated = click.command()(with_settings(stage)(command))
    names = {row.name for row in fields(stage)}
    return [p for p in decorated.params if isinstance(p, click.Option) and p.name in names]


def _help(param: click.Parameter) -> str:
    return str(getattr(param, "help", ""))


def _setting_table(stage: type) -> str:
    rows = []
    for row, param in zip(fields(stage), _params(stage), strict=True):
        kind = "" if param.is_flag else f" {param.make_metavar(click.Context(click.Command('x')))}"
        rows.append(
            [
                f"`{param.opts[0]}{kind}`",
                f"`{param.envvar}`",
                f"`{row.name}`",
                f"`{format_default(row)}`",
                row.metadata["help"],
            ]
        )
    return _table(("flag", "variable", "homma.toml", "default", "meaning"), rows)


def metrics(program: click.Group) -> str:
    """Render every metric by stage."""
    del program
    parts = [
        "# Metrics",
        "Each stage serves these metrics to Prometheus on `--metrics-port`; `homma serve` on "
        "`--serve-port`. No metric has a symbol label, so their number does not grow with the "
        "number of series. On Linux each stage also serves the metrics of its process: "
        "`process_start_time_seconds`, `process_resident_memory_bytes`, "
        "`process_cpu_seconds_total`, `process_open_fds` and others.",
    ]
    for stage, rows in METRICS.items():
        parts += [f"## {stage}", _table(("metric", "kind", "labels", "meaning"), _metrics(rows))]
    return _page(parts)


def _metrics(rows: Sequence[Metric]) -> Iterator[list[str]]:
    for row in rows:
        # The name as Prometheus shows it.
        name = f"{row.name}_total" if row.kind == "counter" else row.name
        labels = ", ".join(f"`{label}`" for label in row.labels)
        yield [f"`{name}`", row.kind.removeprefix("bulk "), labels, row.help]


def topics(program: click.Group) -> str:
    """Render every topic as homma creates it."""
    del program
    defaults = TopicSettings()
    specs = contract.specs(defaults, defaults.partitions)
    names = contract.topics(defaults)
    meanings = {
        names.ticks: "ticks",
        names.dead: "dead letters, byte for byte",
        names.late: "ticks dropped as late",
        **{topic: f"`{code}` candles" for code, topic in names.public_candles.items()},
    }
    rows = [
        [
            f"`{s.name}`",
            meanings[s.name],
            str(s.partitions),
            s.config["cleanup.policy"],
            _duration(s.config["retention.ms"]),
        ]
        for s in specs
    ]
    parts = [
        "# Topics",
        "`homma up`, `homma generate` and `homma aggregate` create missing topics. Names, "
        "partitions and retention are [settings](settings.md); the candle topics have as many "
        "partitions as the tick topic. The format of the records is in "
        "[asyncapi.json](asyncapi.json), [tick.schema.json](tick.schema.json) and "
        "[candle.schema.json](candle.schema.json).",
        _table(("topic", "records", "partitions", "cleanup", "retention"), rows),
        "Other topic settings, with their Kafka names:",
    ]
    for title, spec in _kinds(specs):
        others = [f"{k}={v}" for k, v in spec.config.items() if k not in _IN_COLUMNS]
        parts += [f"## {title}", _code(others)]
    return _page(parts)


def _kinds(specs: Sequence[TopicSpec]) -> Iterator[tuple[str, TopicSpec]]:
    """Group topics with equal configurations; yield their names and one of them."""
    groups: dict[str, list[TopicSpec]] = {}
    for spec in specs:
        others = {k: v for k, v in spec.config.items() if k not in _IN_COLUMNS}
        groups.setdefault(str(others), []).append(spec)
    for group in groups.values():
        yield ", ".join(f"`{spec.name}`" for spec in group), group[0]


def _duration(milliseconds: str) -> str:
    return format_duration(timedelta(milliseconds=int(milliseconds)))


def commands(program: click.Group) -> str:
    """Render the --help of each command."""
    parts = [
        "# Commands",
        "The `--help` of each command.",
        "## homma",
        _help_text("homma", program),
    ]
    for name, command in _subcommands("homma", program):
        parts += [f"## {name}", _help_text(name, command)]
    flags = ", ".join(f"`--{row.name.replace('_', '.')}`" for row in fields(KafkaSettings))
    parts.append(
        "Exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted. These flags are named "
        f"after librdkafka properties: {flags}. Set any other property with `-X`."
    )
    return _page(parts)


def _subcommands(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield all commands of a group, each before its own subcommands."""
    for name, command in sorted(group.commands.items()):
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _subcommands(f"{path} {name}", command)


def _help_text(path: str, command: click.Command) -> str:
    # The width must not depend on the terminal.
    context = click.Context(
        command,
        info_name=path,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )
    return _code(command.get_help(context).splitlines())


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```text", *(line.rstrip() for line in lines), "```"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    # A bar ends a cell, even in code.
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _page(parts: Sequence[str]) -> str:
    note = "<!-- Rendered by `homma render` from the code. Do not edit. -->"
    return "\n\n".join([note, *parts]) + "\n"
