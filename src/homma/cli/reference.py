"""The reference pages, from the tables of settings, metrics, topics and verbs. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final

import click

from homma.cli.options import shown, takes
from homma.core.interval import INTERVALS
from homma.durations import duration_text
from homma.metrics import STAGES as METRICS
from homma.metrics import Metric
from homma.settings import STAGES, KafkaSettings, TopicSettings
from homma.topics import contract
from homma.topics.contract import TopicSpec

_WIDTH: Final = 100
#: The settings of a topic that its row already shows.
_IN_COLUMNS: Final = ("cleanup.policy", "retention.ms")


def settings(program: click.Group) -> str:
    """Every setting by stage, and which verbs take it."""
    parts = [
        "# Settings",
        "Each setting is a flag, a variable and an entry in `homma.toml` (in the folder where "
        "`homma` is started, or named by `homma --config FILE`); they count in that order. Names "
        "that are not in these tables are refused. Durations are a number and one of ms, s, min, "
        "h, d.",
        "librdkafka's own properties are given as `-X name=value`, or in the table `[kafka]` of "
        "`homma.toml`. The login for Kafka comes from the variables `KAFKA_SASL_USERNAME` and "
        "`KAFKA_SASL_PASSWORD`, never from a flag or file.",
    ]
    for stage in STAGES:
        parts += [f"## {_title(stage)}", str(stage.__doc__).split("\n", 1)[0]]
        verbs = ", ".join(f"`{name}`" for name in _takers(program, stage))
        parts += [f"Taken by {verbs}.", _setting_table(stage)]
    return _page(parts)


def _title(stage: type) -> str:
    return stage.__name__.removesuffix("Settings")


def _takers(program: click.Group, stage: type) -> list[str]:
    """The verbs that have all flags of a stage."""
    # Names alone would not do: different stages have settings of one name.
    wanted = {(param.name, _help(param)) for param in _params(stage)}
    return [
        name
        for name, verb in sorted(program.commands.items())
        if wanted <= {(param.name, _help(param)) for param in verb.params}
    ]


def _params(stage: type) -> list[click.Option]:
    """The flags of a stage, as a verb would have them."""

    def verb(*_: Any) -> None:
        """Stand for any verb."""

    made = click.command()(takes(stage)(verb))
    names = {row.name for row in fields(stage)}
    return [p for p in made.params if isinstance(p, click.Option) and p.name in names]


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
                f"`{shown(row)}`",
                row.metadata["help"],
            ]
        )
    return _table(("flag", "variable", "homma.toml", "default", "meaning"), rows)


def metrics(program: click.Group) -> str:
    """Every metric by stage."""
    del program
    parts = [
        "# Metrics",
        "Each stage answers Prometheus on `--metrics-port` with these. None has a label by "
        "symbol: their number does not grow with the series. On Linux there are those of its "
        "process too: `process_start_time_seconds`, `process_resident_memory_bytes`, "
        "`process_cpu_seconds_total`, `process_open_fds` and others.",
    ]
    for stage, rows in METRICS.items():
        parts += [f"## {stage}", _table(("metric", "kind", "labels", "meaning"), _metrics(rows))]
    return _page(parts)


def _metrics(rows: Sequence[Metric]) -> Iterator[list[str]]:
    for row in rows:
        # As Prometheus shows it.
        name = f"{row.name}_total" if row.kind == "counter" else row.name
        labels = ", ".join(f"`{label}`" for label in row.labels)
        yield [f"`{name}`", row.kind.removeprefix("bulk "), labels, row.help]


def topics(program: click.Group) -> str:
    """Every topic as homma makes it."""
    del program
    defaults = TopicSettings()
    specs = contract.specs(defaults, defaults.partitions)
    names = contract.topics(defaults)
    meanings = {
        names.ticks: "ticks",
        names.dead: "ticks that break a rule, byte for byte",
        names.late: "ticks that are too late",
        **{
            topic: f"candles of {interval.code}"
            for topic, interval in zip(names.candles, INTERVALS, strict=True)
        },
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
        "As `homma up`, `homma generate` and `homma aggregate` make them where they are missing. "
        "Names, partitions and retention are [settings](settings.md); the topics of candles have "
        "as many partitions as that of the ticks. What the records look like is in "
        "[asyncapi.json](asyncapi.json), [tick.schema.json](tick.schema.json) and "
        "[candle.schema.json](candle.schema.json).",
        _table(("topic", "holds", "partitions", "cleanup", "retention"), rows),
        "Their other settings, in Kafka's names:",
    ]
    for title, spec in _kinds(specs):
        others = [f"{k}={v}" for k, v in spec.config.items() if k not in _IN_COLUMNS]
        parts += [f"## {title}", _code(others)]
    return _page(parts)


def _kinds(specs: Sequence[TopicSpec]) -> Iterator[tuple[str, TopicSpec]]:
    """One topic of each set of settings, and what those topics are."""
    seen: dict[str, list[TopicSpec]] = {}
    for spec in specs:
        others = {k: v for k, v in spec.config.items() if k not in _IN_COLUMNS}
        seen.setdefault(str(others), []).append(spec)
    for alike in seen.values():
        yield ", ".join(f"`{spec.name}`" for spec in alike), alike[0]


def _duration(milliseconds: str) -> str:
    return duration_text(timedelta(milliseconds=int(milliseconds)))


def commands(program: click.Group) -> str:
    """What each verb says when it is asked with --help."""
    parts = [
        "# Commands",
        "What each verb says of itself.",
        "## homma",
        _help_text("homma", program),
    ]
    for name, verb in _verbs("homma", program):
        parts += [f"## {name}", _help_text(name, verb)]
    parts.append(
        "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Kafka's flags are named as "
        f"librdkafka names them ({len(fields(KafkaSettings))} of them; the others by `-X`)."
    )
    return _page(parts)


def _verbs(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """All verbs below, each before those that it has of its own."""
    for name, verb in sorted(group.commands.items()):
        yield f"{path} {name}", verb
        if isinstance(verb, click.Group):
            yield from _verbs(f"{path} {name}", verb)


def _help_text(path: str, command: click.Command) -> str:
    # Not as wide as the terminal of whoever renders it.
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
    # A bar would end the cell, in code too.
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _page(parts: Sequence[str]) -> str:
    note = "<!-- Rendered by `homma render` from the code's own tables: change those. -->"
    return "\n\n".join([note, *parts]) + "\n"
