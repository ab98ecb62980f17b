"""Settings as flags: how a verb says what it takes.

    @click.command()
    @takes(KafkaSettings, TopicSettings, AggregateSettings)
    def aggregate(kafka, topics, settings): ...

A verb is handed one frozen value a class, in the order named. For each of their fields there is
a flag, a HOMMA_ variable and an entry in homma.toml, and they count in that order. A name that is
not in the tables is an error wherever it stands. Instead of KafkaSettings a verb is handed the
Connection that they make with `-X`, instead of LakeSettings the Catalog that they make with `-C`.
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
from homma.durations import duration_text
from homma.errors import SettingError
from homma.renamed_settings import RENAMED
from homma.settings import KafkaSettings, LakeSettings, UpSettings, all_settings, has_default, parse
from homma.topics.kafka.connection import connection

PREFIX: Final = "HOMMA_"
#: Not a setting, but for whoever works on homma: where the engine is to die.
FAILPOINT: Final = PREFIX + "FAILPOINT"
#: No setting either, but a secret: flags and files are seen by others.
SERVE_TOKEN: Final = PREFIX + "SERVE_TOKEN"
#: What has names of its own: a flag, and a table of homma.toml.
FOREIGN: Final = {
    KafkaSettings: ("-X", "kafka", "librdkafka"),
    LakeSettings: ("-C", "catalog", "pyiceberg's catalogs"),
}
_DIR: Final = "dir"


class SettingType(click.ParamType[Any]):
    """A click type that parses as the setting's row says."""

    def __init__(self, row: Field[Any]) -> None:
        self._row = row
        self.name = _kind(row)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, or click's usage error, which names the flag."""
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            return value
        try:
            return parse(self._row, str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def takes(*stages: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the flags of these settings, and the settings as its first arguments."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            extra = {
                stage: _foreign(flag, table, given.pop(f"{table}_properties"))
                for stage, (flag, table, _) in FOREIGN.items()
                if stage in stages
            }
            home = given.pop(_DIR) if _brings_dir(stages) else given.get(_DIR)
            values = [
                stage(**{row.name: given.pop(row.name) for row in fields(stage)})
                for stage in stages
            ]
            verb(*(_whole(value, extra, home) for value in values), **given)

        run.__name__, run.__doc__ = verb.__name__, verb.__doc__
        # A verb's own options stand on it already.
        run.__click_params__ = getattr(verb, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Callable[..., None] = run
        for stage, (flag, table, whose) in FOREIGN.items():
            if stage in stages:
                decorated = click.option(
                    flag,
                    f"{table}_properties",
                    multiple=True,
                    metavar="NAME=VALUE",
                    help=f"any other property of {whose}",
                )(decorated)
        if _brings_dir(stages):
            [row] = [row for row in fields(UpSettings) if row.name == _DIR]
            decorated = _option(UpSettings, row)(decorated)
        for stage in reversed(stages):
            for row in reversed(fields(stage)):
                decorated = _option(stage, row)(decorated)
        return decorated

    return decorate


def _brings_dir(stages: Sequence[type]) -> bool:
    """Whether --dir comes with the lake: there its credentials may be."""
    return LakeSettings in stages and UpSettings not in stages


def _option(stage: type, row: Field[Any]) -> Callable[..., Any]:
    # Kafka's settings keep librdkafka's names.
    flag = "--" + row.name.replace("_", "." if stage is KafkaSettings else "-")
    common: dict[str, Any] = {
        "envvar": PREFIX + row.name.upper(),
        "help": row.metadata["help"] + (f"  [{shown(row)}]" if has_default(row) else ""),
    }
    if row.type is bool:
        return click.option(flag, row.name, is_flag=True, default=row.default, **common)
    if has_default(row):
        common["default"] = row.default
    else:
        common["required"] = True
    return click.option(flag, row.name, type=SettingType(row), metavar=_kind(row), **common)


def shown(row: Field[Any]) -> str:
    """A setting's default as one would type it."""
    if isinstance(row.default, timedelta):
        return duration_text(row.default)
    if isinstance(row.default, bool):
        return str(row.default).lower()
    return "none" if row.default in (None, "", ()) else str(row.default)


def _kind(row: Field[Any]) -> str:
    choices = [c for c in get_args(row.type) if isinstance(c, str)]
    if choices:
        return "|".join(choices)
    names: dict[Any, str] = {timedelta: "DURATION", int: "N", float: "X", Path: "PATH"}
    return names.get(row.type, "TEXT")


def _foreign(flag: str, table: str, given: Iterable[str]) -> dict[str, str]:
    """Properties of homma.toml and of flags, which win."""
    properties = dict((click.get_current_context().obj or {}).get(table, {}))
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"{flag} {text} has no value", f"write it as {flag} NAME=VALUE")
        properties[name] = value
    return properties


def _whole(value: Any, extra: Mapping[type, Mapping[str, str]], home: Path | None) -> Any:
    """What a verb is handed for the settings of a stage."""
    if isinstance(value, KafkaSettings):
        return connection(
            value,
            extra[KafkaSettings],
            os.environ.get("KAFKA_SASL_USERNAME"),
            os.environ.get("KAFKA_SASL_PASSWORD"),
        )
    if isinstance(value, LakeSettings):
        assert home is not None
        return catalog(value, extra[LakeSettings], os.environ, home)
    return value


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Settings of a homma.toml, and the properties of librdkafka and of pyiceberg's catalogs."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror})", "name another") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{path} is not TOML ({error})", "mend that line") from error
    properties = {
        table: {name: str(value) for name, value in found.pop(table, {}).items()}
        for _, table, _ in FOREIGN.values()
    }
    for name in found:
        if name not in all_settings():
            raise _unknown(f"{name} in {path}", name, all_settings(), RENAMED)
    return found, properties


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse HOMMA_ variables that mean nothing: most likely a typo."""
    known = {FAILPOINT, SERVE_TOKEN} | {_variable(name) for name in all_settings()}
    renamed = {_variable(former): _variable(current) for former, current in RENAMED.items()}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            raise _unknown(f"the variable {name}", name, known, renamed)


def _variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _unknown(
    what: str, name: str, known: Iterable[str], renamed: Mapping[str, str]
) -> SettingError:
    if name in renamed:
        return SettingError(f"{what} has a new name", f"write {renamed[name]} instead")
    near = difflib.get_close_matches(name, list(known), 1)
    remedy = f"did you mean {near[0]}?" if near else "see docs/reference/settings.md"
    return SettingError(f"{what} is no setting of homma's", remedy)
