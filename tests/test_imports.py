"""What tests share is in tests/support: no test folder imports another one or a file of tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, with those in `from package import module`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def path_of(name: str) -> Path | None:
    """The file in tests that a dotted name is in; None for all others."""
    first, *rest = name.split(".")
    for path in (TESTS.joinpath(*rest), TESTS.joinpath(*rest).parent):
        if first == "tests" and path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
    return None


def is_allowed(importer: Path, path: Path) -> bool:
    return not path.name.startswith("test_") and path.parent in (
        importer.parent,
        TESTS / "support",
    )


def test_only_support_is_imported_from_other_folders() -> None:
    wrong = {
        f"{importer.relative_to(TESTS)} imports {path.relative_to(TESTS)}"
        for importer in TESTS.rglob("*.py")
        for name in imported(importer)
        if (path := path_of(name)) and not is_allowed(importer, path)
    }
    assert wrong == set()


def test_imports_are_found() -> None:
    """A name of a module and a name in a module lead to the same file."""
    assert path_of("tests.support.oracle") == path_of("tests.support.oracle.read")
    names = {path.name for name in imported(TESTS / "conftest.py") if (path := path_of(name))}
    assert {"minio.py", "weed.py", "waiting.py"} <= names
