"""Secrets that homma makes for itself: made once, kept in a file for its owner alone."""

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
    """Give the login of the lake in a data folder; the first time, make it."""
    rows = ensure_secrets(home / NAME, {ACCESS_KEY: _access_key, SECRET_KEY: secret})
    return Credentials(rows[ACCESS_KEY], rows[SECRET_KEY])


def read_credentials(home: Path) -> Credentials | None:
    """Give the login of the lake in a data folder; None where none was made yet."""
    path = home / NAME
    if not path.exists():
        return None
    rows = read_secrets(path, (ACCESS_KEY, SECRET_KEY))
    return Credentials(rows[ACCESS_KEY], rows[SECRET_KEY])


def secret() -> str:
    """Make a secret of 256 bits that needs no quoting anywhere."""
    return secrets.token_urlsafe(32)


def ensure_secrets(path: Path, wanted: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Give what `path` keeps under these names; where it is missing, make all of them first."""
    if not path.exists():
        rows = {name: make() for name, make in wanted.items()}
        write_private(path, "".join(f"{name}={value}\n" for name, value in rows.items()))
    return read_secrets(path, tuple(wanted))


def read_secrets(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Give the values under these names from a file of lines NAME=VALUE.

    Raises StackError when others may read the file, or when it lacks a name.
    """
    text = read_private(path)
    rows = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for name in names:
        if not rows.get(name):
            remedy = "put it back, or delete the file so that all of it is made anew"
            raise StackError(f"{path} does not say {name}", remedy)
    return {name: rows[name] for name in names}


def read_private(path: Path) -> str:
    """Read a file that must be its owner's alone; raises StackError when it is not."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StackError(
                    f"{path} can be read or written by others",
                    f"`chmod 600 {path}`, and delete it if somebody may have seen what is in it",
                )
            return file.read()
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}", "check its rights") from error


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone, in one step; nobody sees half of it."""
    try:
        # Of mode 0600 from its first moment on.
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
