"""The folders that keep downloads between test runs."""

import os
from pathlib import Path


def jars_cache() -> Path:
    """The folder that keeps jars."""
    return Path(os.environ.get("HOMMA_TEST_CACHE", "~/.cache/homma/jars")).expanduser()


def cache_of(jars: list[Path]) -> Path:
    """The `--cache` of commands that use these jars, which are in <cache>/jars/org/apache/…"""
    return next(folder for folder in jars[0].parents if folder.name == "jars").parent
