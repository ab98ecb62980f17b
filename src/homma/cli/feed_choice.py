"""The feed definition that a user names: in homma.toml, in a file, or one that homma ships."""

from pathlib import Path

import click

from homma.cli.options import CONFIG, FEEDS
from homma.feed.definitions.catalog import NamedFeed, find, of_file
from homma.feed.definitions.definition import FeedDefinition


def own_feeds() -> dict[str, NamedFeed]:
    """The definitions of homma.toml."""
    context = click.get_current_context()
    path: Path | None = context.meta.get(CONFIG)
    has_feeds = path is not None and FEEDS in context.find_root().obj
    return of_file(path) if path is not None and has_feeds else {}


def chosen_feed(name: str) -> FeedDefinition | None:
    """The definition of a name; None for no name."""
    return find(name, own_feeds()).definition if name else None
