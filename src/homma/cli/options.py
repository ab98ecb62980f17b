"""Settings as flags: how a command declares the settings that it needs.

    @click.command()
    @with_settings(KafkaSettings, TopicSettings, AggregateSettings)
    def aggregate(connection, topics, settings): ...

A command receives one frozen value per class, in this order. Each field has a flag, a HOMMA_
variable and an entry in homma.toml, in this order of precedence. An unknown name is an error in
all three places. In place of KafkaSettings a command receives a Connection, which includes the
properties of `-X`; in place of LakeSettings, a Catalog, which includes those of `-C`. What the user
has not set is taken from a `homma up` that runs in --dir (`discovery.py`).
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, get_args

import click

from homma.cli.catalog import catalog
from homma.cli.discovery import discover
from homma.core.calendar import Calendar
from homma.durations import format_duration
from homma.errors import SettingError
from homma.renamed_settings import RENAMED
from homma.setting_values import all_settings, has_default, parse
from homma.settings import KafkaSettings, LakeSettings, UpSettings
from homma.topics.kafka.connection import build_connection

PREFIX: Final = "HOMMA_"
#: Not a setting: developers of homma use it to kill the engine at a given step.
FAILPOINT: Final = PREFIX + "FAILPOINT"
#: Not a setting: a secret, and other users can see flags and files.
SERVE_TOKEN: Final = PREFIX + "SERVE_TOKEN"
#: Settings that come with properties of a client: a flag, a table of homma.toml, the client.
CLIENT_PROPERTIES: Final = {
    KafkaSettings: ("-X", "kafka", "librdkafka"),
    LakeSettings: ("-C", "catalog", "pyiceberg"),
}
#: Where the context of a command has the path of homma.toml, or None.
CONFIG: Final = PREFIX + "CONFIG"
#: The table of feed definitions in homma.toml.
FEEDS: Final = "feeds"
_DIR: Final = "dir"


class SettingType(click.ParamType[Any]):
    """A click type that parses the text of a setting."""

    def __init__(self, row: Field[Any]) -> None:
        self._row = row
        self.name = _kind(row)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or raise click's usage error, which names the flag."""
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            return value
        try:
            return parse(self._row, str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def with_settings(*stages: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the flags of these settings to a command; it gets the settings as first arguments."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**arguments: Any) -> None:
            properties = {
                stage: _properties(flag, table, arguments.pop(f"{table}_properties"))
                for stage, (flag, table, _) in CLIENT_PROPERTIES.items()
                if stage in stages
            }
            data_dir = arguments.get(_DIR)
            running: dict[str, Any] = {}
            if data_dir is not None and _finds_running(stages):
                running = discover(data_dir, set(filter(is_given, arguments)), properties)
            arguments |= {name: value for name, value in running.items() if name in arguments}
            # The login of a lake that was found is beside it, whatever login the environment has.
            environment = {} if "catalog_uri" in running else os.environ
            if _adds_dir(stages):
                del arguments[_DIR]
            values = [
                stage(**{row.name: arguments.pop(row.name) for row in fields(stage)})
                for stage in stages
            ]
            resolved = (_resolve(value, properties, data_dir, environment) for value in values)
            command(*resolved, **arguments)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        # The command's own options have been added to it already.
        run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Callable[..., None] = run
        for stage, (flag, table, client) in CLIENT_PROPERTIES.items():
            if stage in stages:
                decorated = click.option(
                    flag,
                    f"{table}_properties",
                    multiple=True,
                    metavar="NAME=VALUE",
                    help=f"any other property of {client}",
                )(decorated)
        if _adds_dir(stages):
            [row] = [row for row in fields(UpSettings) if row.name == _DIR]
            decorated = _option(UpSettings, row)(decorated)
        for stage in reversed(stages):
            for row in reversed(fields(stage)):
                decorated = _option(stage, row)(decorated)
        return decorated

    return decorate


def _finds_running(stages: Sequence[type]) -> bool:
    """Whether a command connects to Kafka or the lake, which a `homma up` in --dir may run."""
    return KafkaSettings in stages or LakeSettings in stages


def _adds_dir(stages: Sequence[type]) -> bool:
    """Whether a command gets --dir although none of its settings has it."""
    has_dir = any(row.name == _DIR for stage in stages for row in fields(stage))
    return _finds_running(stages) and not has_dir


def is_given(name: str) -> bool:
    """Whether the user has set this setting of the command, by a flag, a variable or homma.toml."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def settings_without_flags(stage: type, command: str) -> Any:
    """Return the settings of a command as variables and homma.toml have them."""

    @click.command()
    @with_settings(stage)
    def flagless(_: Any) -> None:
        """Stand for the command."""

    parent = click.get_current_context().parent
    return stage(**flagless.make_context(command, [], parent=parent).params)


def _option(stage: type, row: Field[Any]) -> Callable[..., Any]:
    # Flags for Kafka have the names of librdkafka's properties.
    flag = "--" + row.name.replace("_", "." if stage is KafkaSettings else "-")
    common: dict[str, Any] = {
        "envvar": PREFIX + row.name.upper(),
        "help": row.metadata["help"] + (f"  [{format_default(row)}]" if has_default(row) else ""),
    }
    if row.type is bool:
        return click.option(flag, row.name, is_flag=True, default=row.default, **common)
    if has_default(row):
        common["default"] = row.default
    else:
        common["required"] = True
    return click.option(flag, row.name, type=SettingType(row), metavar=_kind(row), **common)


def format_default(row: Field[Any]) -> str:
    """Return the default of a setting as a user would type it."""
    if isinstance(row.default, timedelta):
        return format_duration(row.default)
    if isinstance(row.default, bool):
        return str(row.default).lower()
    return "none" if row.default in (None, "", ()) else str(row.default)


def _kind(row: Field[Any]) -> str:
    choices = [c for c in get_args(row.type) if isinstance(c, str)]
    if choices:
        return "|".join(choices)
    names: dict[Any, str] = {
        timedelta: "DURATION",
        int: "N",
        float: "X",
        Path: "PATH",
        Calendar: "CODES",
    }
    return names.get(row.type, "TEXT")


def _properties(flag: str, table: str, texts: Iterable[str]) -> dict[str, str]:
    """Properties of homma.toml and of flags, which take precedence."""
    properties = dict((click.get_current_context().obj or {}).get(table, {}))
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(
                f"{flag} {text} is not of the form NAME=VALUE", f"use {flag} NAME=VALUE"
            )
        properties[name] = value
    return properties


def _resolve(
    value: Any,
    properties: Mapping[type, Mapping[str, str]],
    data_dir: Path | None,
    environment: Mapping[str, str],
) -> Any:
    """Turn the settings of Kafka into a Connection, and those of the lake into a Catalog."""
    if isinstance(value, KafkaSettings):
        return build_connection(
            value,
            properties[KafkaSettings],
            os.environ.get("KAFKA_SASL_USERNAME"),
            os.environ.get("KAFKA_SASL_PASSWORD"),
        )
    if isinstance(value, LakeSettings):
        assert data_dir is not None
        return catalog(value, properties[LakeSettings], environment, data_dir)
    return value


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return the settings of a homma.toml, and its properties of librdkafka and pyiceberg."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read ({error.strerror})", "use another file"
        ) from error
    except tomllib.TOMLDecodeError as error:
        problem = f"{path} is not valid TOML ({error})"
        raise SettingError(problem, "fix that line") from error
    properties = {
        table: {name: str(value) for name, value in entries.pop(table, {}).items()}
        for _, table, _ in CLIENT_PROPERTIES.values()
    }
    # Feed definitions are read by the commands that use them.
    if FEEDS in entries:
        entries.pop(FEEDS)
        properties[FEEDS] = {}
    for name in entries:
        if name not in all_settings():
            raise _unknown(f"{name} in {path}", name, all_settings(), RENAMED)
    return entries, properties


def check_environment(environment: Mapping[str, str]) -> None:
    """Reject unknown HOMMA_ variables, which are most likely typos."""
    known = {FAILPOINT, SERVE_TOKEN} | {_variable(name) for name in all_settings()}
    renamed = {_variable(former): _variable(current) for former, current in RENAMED.items()}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            raise _unknown(f"the variable {name}", name, known, renamed)


def _variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def _unknown(
    subject: str, name: str, known: Iterable[str], renamed: Mapping[str, str]
) -> SettingError:
    if name in renamed:
        return SettingError(f"{subject} has been renamed", f"use {renamed[name]} instead")
    matches = difflib.get_close_matches(name, list(known), 1)
    remedy = f"did you mean {matches[0]}?" if matches else "see docs/reference/settings.md"
    return SettingError(f"{subject} is not a setting of homma", remedy)
