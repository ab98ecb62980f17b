"""Secrets that homma generates once and stores in a file that only its owner can read."""

import os
import secrets
import stat
import string
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homma.errors import StackError

NAME: Final = "credentials.env"
ACCESS_KEY: Final = "AWS_ACCESS_KEY_ID"
SECRET_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable
_LETTERS: Final = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True)
class Credentials:
    """The login of an S3 server and of its catalog."""

    access_key: str
    secret_key: str


def ensure_credentials(home: Path) -> Credentials:
    """Return the lake's login of a data folder, and create it if there is none."""
    rows = ensure_secrets(home / NAME, {ACCESS_KEY: _access_key, SECRET_KEY: secret})
    return Credentials(rows[ACCESS_KEY], rows[SECRET_KEY])


def read_credentials(home: Path) -> Credentials | None:
    """Return the lake's login of a data folder, or None if there is none."""
    path = home / NAME
    if not path.exists():
        return None
    rows = read_secrets(path, (ACCESS_KEY, SECRET_KEY))
    return Credentials(rows[ACCESS_KEY], rows[SECRET_KEY])


def secret() -> str:
    """Generate a secret of 256 bits that needs no quoting."""
    return secrets.token_urlsafe(32)


def ensure_secrets(path: Path, generators: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Return the values of these names in `path`; if the file is missing, generate them first."""
    if not path.exists():
        rows = {name: generate() for name, generate in generators.items()}
        write_private(path, "".join(f"{name}={value}\n" for name, value in rows.items()))
    return read_secrets(path, tuple(generators))


def read_secrets(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the values of these names from a file of lines NAME=VALUE.

    Raises StackError if other users can access the file, or if it lacks a name.
    """
    text = read_private(path)
    rows = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for name in names:
        if not rows.get(name):
            remedy = "add it, or delete the file so that homma creates new secrets"
            raise StackError(f"{path} has no value for {name}", remedy)
    return {name: rows[name] for name in names}


def read_private(path: Path) -> str:
    """Read a file of mode 0600. Raises StackError if other users can access it."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StackError(
                    f"{path} can be read or written by others",
                    f"run `chmod 600 {path}`, or delete the file if others may have read it",
                )
            return file.read()
    except OSError as error:
        raise StackError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 atomically."""
    try:
        # mkstemp creates the file with mode 0600.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StackError(
            f"{path} cannot be written: {error.strerror}", "choose another folder with --dir"
        ) from error


def _access_key() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(20))
