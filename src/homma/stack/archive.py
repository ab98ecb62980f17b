"""A server that comes as one big archive: fetched once, unpacked in part, the archive forgotten.

The committed `<name>.archive.toml` names the archive by its Maven coordinate with size and sha256,
the parts of it that are kept, and one digest over all the files that they are made of. `unpacked`
compares that digest at every start, so what runs is what was locked, to the byte.
"""

import fcntl
import hashlib
import shutil
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Final

from homma.errors import JarChanged, StackError
from homma.stack.jars import MAVEN_CENTRAL, Jar, Lock, Progress, fetch, sha256_of

SUFFIX: Final = ".archive.toml"


@dataclass(frozen=True, slots=True)
class Archive:
    """One locked archive. `keep` are files and, ending in /, folders below its top folder.

    `files_sha256` is what `digest` gives of the unpacked folder.
    """

    name: str
    version: str
    jar: Jar
    keep: tuple[str, ...]
    files_sha256: str

    def folder(self, cache: Path) -> Path:
        """Where it is unpacked: another name when anything about it changes."""
        return cache / f"{self.name}-{self.version}-{self.files_sha256[:8]}"


def read_archive(name: str) -> Archive:
    """Read the committed `<name>.archive.toml`."""
    text = resources.files("homma.stack").joinpath(f"{name}{SUFFIX}").read_text("utf-8")
    table = tomllib.loads(text)
    jar = Jar(table["coordinate"], table["sha256"], table["size"])
    return Archive(table["name"], table["version"], jar, (*table["keep"],), table["files_sha256"])


def render(archive: Archive) -> str:
    """Give an archive's lock as TOML."""
    kept = "\n".join(f'  "{name}",' for name in archive.keep)
    return f"""\
# Written by `python -m homma.stack.relock`; every start verifies these checksums.
name = "{archive.name}"
version = "{archive.version}"
coordinate = "{archive.jar.coordinate}"
sha256 = "{archive.jar.sha256}"
size = {archive.jar.size}
keep = [
{kept}
]
files_sha256 = "{archive.files_sha256}"
"""


def unpacked(
    archive: Archive,
    cache: Path,
    progress: Progress | None = None,
    base_url: str = MAVEN_CENTRAL,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Make sure that the archive is unpacked below `cache`, byte for byte; give the folder.

    The first time it is downloaded, as `jars.fetch` does, and deleted when it is unpacked; a
    start that was killed meanwhile is made good. Raises JarChanged for files that are not the
    locked ones, and StackError when they cannot be had or written.
    """
    folder = archive.folder(cache)
    try:
        with _alone(cache, archive.name):
            if not folder.exists():
                _bring(archive, cache, progress, base_url, sleep)
            elif digest(folder) != archive.files_sha256:
                raise JarChanged(
                    f"{folder} holds other files than {archive.jar.coordinate} was locked with",
                    "delete it and start again, so that it is downloaded anew",
                )
    except OSError as error:
        raise StackError(
            f"{folder} cannot be written or read: {error.strerror or error}",
            "free some room, or choose another folder with --cache",
        ) from error
    return folder


def unpack(path: Path, keep: Iterable[str], target: Path) -> None:
    """Write the kept parts of a tar.gz to `target`, without the archive's top folder.

    Trino's archive says of many files only that they are the same as one elsewhere, which may
    be in a part that is not kept. So it is read twice: for the names, then for the contents. A
    file of several names is written once and linked.
    """
    names: dict[str, list[str]] = {}
    for member in _members(path):
        name = _below_top(member.name)
        if (member.isfile() or member.islnk()) and name.startswith(tuple(keep)):
            content = _below_top(member.linkname) if member.islnk() else name
            names.setdefault(content, []).append(name)
    with tarfile.open(path, "r|gz") as tar:
        for member in tar:
            wanted = names.pop(_below_top(member.name), []) if member.isfile() else []
            if wanted and (file := tar.extractfile(member)):
                _write(file, [target / name for name in wanted])
    if names:
        raise StackError(f"{path} lacks {min(names)}", "name another version to be locked")


def digest(folder: Path) -> str:
    """Give one sha256 over the names and contents of all files below a folder."""
    known: dict[int, str] = {}
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        inode = path.stat().st_ino
        if inode not in known:
            known[inode] = sha256_of(path)
        total.update(f"{known[inode]}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _bring(
    archive: Archive,
    cache: Path,
    progress: Progress | None,
    base_url: str,
    sleep: Callable[[float], None],
) -> None:
    lock = Lock(archive.name, archive.version, (archive.jar,))
    [packed] = fetch(lock, cache / "jars", progress, base_url, sleep)
    # What a start left that was killed here goes first; the name is ours while we are alone.
    part = cache / f".{archive.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        unpack(packed, archive.keep, part)
        if digest(part) != archive.files_sha256:
            raise JarChanged(
                f"{packed} does not hold the files that {archive.jar.coordinate} was locked with",
                "write the lock anew with `python -m homma.stack.relock`",
            )
        part.replace(archive.folder(cache))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    packed.unlink()


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(path, "r|gz") as tar:
        yield from tar


def _below_top(name: str) -> str:
    return name.partition("/")[2]


def _write(file: IO[bytes], paths: list[Path]) -> None:
    first, *others = paths
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with first.open("xb") as written:
        shutil.copyfileobj(file, written)
    for path in others:
        path.hardlink_to(first)


@contextmanager
def _alone(cache: Path, name: str) -> Iterator[None]:
    """Wait until no other process unpacks or looks at this archive."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
