"""The tree that src/homma/errors.py draws is the tree of the error classes in src."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import homma
from homma import errors
from homma.errors import HommaError

#: A line of the drawing: branches, four characters per level, a class and its description.
LINE = re.compile(r"([│├└─ ]*)(\w+) {2,}\S")
INDENT = 4


def drawn_tree() -> set[tuple[str, str]]:
    """Each drawn class with its base class."""
    pairs, path = set(), ["Exception"]
    for line in str(errors.__doc__).splitlines():
        if match := LINE.match(line):
            depth = len(match[1]) // INDENT
            path = [*path[: depth + 1], match[2]]
            pairs.add((path[-1], path[-2]))
    return pairs


def errors_in_src() -> Iterator[type[HommaError]]:
    for package in pkgutil.walk_packages(homma.__path__, "homma."):
        if package.name != "homma.__main__":
            importlib.import_module(package.name)
    remaining = [HommaError]
    while remaining:
        error = remaining.pop()
        remaining += error.__subclasses__()
        # Other tests may define errors of their own.
        if error.__module__.startswith("homma."):
            yield error


def test_the_drawn_tree_names_every_error_in_src_and_nothing_else() -> None:
    classes = {
        (error.__name__, base.__name__) for error in errors_in_src() for base in error.__bases__
    }
    assert drawn_tree() == classes


def test_every_error_is_defined_in_one_module() -> None:
    assert {error.__module__ for error in errors_in_src()} == {"homma.errors"}
