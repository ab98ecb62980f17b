"""The feed definitions that a user can name: those of homma.toml, and those that homma ships."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from homma.errors import SettingError
from homma.feed.definitions.definition import FeedDefinition
from homma.feed.definitions.toml import TABLE, read_definitions, table_text

_SHIPPED: Final = "shipped"
_SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True)
class NamedFeed:
    """A definition, its TOML, and the file that has it: none if homma ships it."""

    definition: FeedDefinition
    text: str
    file: str = ""


def shipped() -> dict[str, NamedFeed]:
    """The definitions that come with homma, by name."""
    folder = resources.files("homma.feed.definitions") / _SHIPPED
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(_SUFFIX)), key=lambda f: f.name
    )
    feeds: dict[str, NamedFeed] = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        for name, definition in read_definitions(text, file.name).items():
            feeds[name] = NamedFeed(definition, f"[{TABLE}.{name}]\n{text}")
    return feeds


def of_file(path: Path) -> dict[str, NamedFeed]:
    """The definitions of a file, by name. Raises SettingError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read ({error.strerror})", "pass a TOML file of feed definitions"
        ) from error
    definitions = read_definitions(text, str(path))
    return {
        name: NamedFeed(definition, table_text(text, name), str(path))
        for name, definition in definitions.items()
    }


def find(name: str, own: Mapping[str, NamedFeed]) -> NamedFeed:
    """The feed of a name, or of a TOML file that has one definition. Raises SettingError.

    `own` are the user's definitions, which win over those that homma ships.
    """
    if name.endswith(_SUFFIX):
        feeds = of_file(Path(name))
        if len(feeds) != 1:
            raise SettingError(
                f"{name} has {len(feeds)} feed definitions",
                "keep one in the file, or move them to homma.toml and choose one by name",
            )
        return next(iter(feeds.values()))
    known = {**shipped(), **own}
    if name not in known:
        matches = difflib.get_close_matches(name, known, 1)
        remedy = f"did you mean {matches[0]}?" if matches else "see homma feeds"
        raise SettingError(f"there is no feed definition {name}", remedy)
    return known[name]
