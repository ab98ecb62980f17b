"""The settings of a running `homma up`, which other commands find by its data folder.

    given by the user (flag, variable, homma.toml)  >  a `homma up` that runs in --dir  >  default

A user who names other brokers means another installation: then no topic, group or price is taken
from the folder either. The same holds for the lake: its addresses and its login belong together.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from homma.setting_values import all_settings, format_value, parse
from homma.settings import (
    AggregateSettings,
    GenerateSettings,
    KafkaSettings,
    LakeSettings,
    TopicSettings,
    UpSettings,
)

#: Settings of the engine that other stages share.
_SHARED: Final = (
    "group",
    "price",
    "prices",
    "watermark_delay",
    "allowed_lateness",
    "idle_timeout",
    "max_future",
)
#: Settings that name another installation, by the class of settings to which they belong.
_ADDRESSES: Final = {
    KafkaSettings: {"bootstrap_servers"},
    LakeSettings: {"catalog_uri", "s3_endpoint"},
}
#: Properties of the clients that name one, too.
_PROPERTIES: Final = {
    KafkaSettings: {"bootstrap.servers", "metadata.broker.list"},
    LakeSettings: {"uri", "s3.endpoint"},
}
_OF_LAKE: Final = {row.name for row in fields(LakeSettings)}


#: What a data folder holds, and whether its ticks are real: the next start continues that.
_CONTINUED: Final = ("price", "prices", "kind", "ingest", "no_generate")


def recorded(
    kafka: str,
    lake: Mapping[str, str],
    topics: TopicSettings,
    engine: AggregateSettings,
    ticks: GenerateSettings,
    up: UpSettings,
) -> dict[str, str]:
    """Return what `homma up` records: the address of Kafka, those of the lake, and settings."""
    shared = {name: getattr(engine, name) for name in _SHARED}
    values = {row.name: getattr(topics, row.name) for row in fields(topics)} | shared
    values |= {"kind": ticks.kind, "ingest": up.ingest, "no_generate": up.no_generate}
    texts = {name: format_value(value) for name, value in values.items()}
    return {"bootstrap_servers": kafka, **lake, **texts}


def continued(data_dir: Path, is_given: Callable[[str], bool]) -> dict[str, Any]:
    """Return what the last `homma up` of a folder made candles of, unless the user has set it."""
    if not data_dir.is_dir():
        return {}
    from homma.stack.processes.record import read_record  # noqa: PLC0415

    texts, rows = read_record(data_dir).settings, all_settings()
    names = [name for name in _CONTINUED if name in texts and not is_given(name)]
    return {name: parse(rows[name], texts[name]) for name in names}


def discover(
    data_dir: Path, given: Collection[str], properties: Mapping[type, Collection[str]]
) -> dict[str, Any]:
    """Return the settings of the `homma up` that runs in the folder, by name; {} if none runs.

    `given` are the names of settings that the user has set, `properties` those of the clients.
    """
    named = {
        kind
        for kind in _ADDRESSES
        if not _ADDRESSES[kind].isdisjoint(given)
        or not _PROPERTIES[kind].isdisjoint(properties.get(kind, ()))
    }
    if named == set(_ADDRESSES):
        return {}
    rows = all_settings()
    return {
        name: parse(rows[name], text)
        for name, text in _read(data_dir).items()
        if name not in given and (LakeSettings if name in _OF_LAKE else KafkaSettings) not in named
    }


def _read(data_dir: Path) -> Mapping[str, str]:
    # Most commands run without a data folder, and these imports take time.
    if not data_dir.is_dir():
        return {}
    from homma.stack.processes.folder import owner_of  # noqa: PLC0415
    from homma.stack.processes.record import read_record  # noqa: PLC0415

    return read_record(data_dir).settings if owner_of(data_dir) is not None else {}
