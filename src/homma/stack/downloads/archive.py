"""A server that comes as one big archive: downloaded once, partly unpacked, then deleted.

The committed `<name>.archive.toml` holds the archive's Maven coordinate, size and sha256, the parts
to keep, and one digest over all kept files. `ensure_unpacked` verifies that digest at every start.
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
from homma.stack.downloads.jars import MAVEN_CENTRAL, NOTE, Jar, Lock, Progress, fetch, sha256_of

SUFFIX: Final = ".archive.toml"


@dataclass(frozen=True, slots=True)
class Archive:
    """One locked archive. `keep` lists files, and folders ending in /, in its top folder.

    `files_sha256` is the `digest` of the unpacked folder.
    """

    name: str
    version: str
    jar: Jar
    keep: tuple[str, ...]
    files_sha256: str

    def folder(self, cache: Path) -> Path:
        """The folder it is unpacked to; its name changes with the version and the contents."""
        return cache / f"{self.name}-{self.version}-{self.files_sha256[:8]}"


def read_archive(name: str) -> Archive:
    """Read the committed `<name>.archive.toml`."""
    text = resources.files("homma.stack.downloads").joinpath(f"{name}{SUFFIX}").read_text("utf-8")
    table = tomllib.loads(text)
    jar = Jar(table["coordinate"], table["sha256"], table["size"])
    return Archive(table["name"], table["version"], jar, (*table["keep"],), table["files_sha256"])


def render(archive: Archive) -> str:
    """Render an archive's lock as TOML."""
    keep = "\n".join(f'  "{name}",' for name in archive.keep)
    return f"""\
{NOTE}
name = "{archive.name}"
version = "{archive.version}"
coordinate = "{archive.jar.coordinate}"
sha256 = "{archive.jar.sha256}"
size = {archive.jar.size}
keep = [
{keep}
]
files_sha256 = "{archive.files_sha256}"
"""


def ensure_unpacked(
    archive: Archive,
    cache: Path,
    progress: Progress | None = None,
    base_url: str = MAVEN_CENTRAL,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Make sure that the archive is unpacked in `cache`, byte for byte; return the folder.

    The first time it is downloaded as by `jars.fetch`, unpacked and deleted; leftovers of a killed
    start are replaced. Raises JarChanged for files that differ from the locked ones, and
    StackError if the download fails or the cache cannot be written.
    """
    folder = archive.folder(cache)
    try:
        with _exclusive(cache, archive.name):
            if not folder.exists():
                _install(archive, cache, progress, base_url, sleep)
            elif digest(folder) != archive.files_sha256:
                raise JarChanged(
                    f"{folder} differs from the locked files of {archive.jar.coordinate}",
                    "delete the folder; the next start downloads it again",
                )
    except OSError as error:
        raise StackError(
            f"{folder} cannot be written or read: {error.strerror or error}",
            "free some space, or choose another folder with --cache",
        ) from error
    return folder


def unpack(path: Path, keep: Iterable[str], target: Path) -> None:
    """Write the kept parts of a tar.gz to `target`, without the archive's top folder.

    Many files in Trino's archive are hard links to a file that may be in a part that is not kept.
    So the archive is read twice: for the names, then for the contents. A file with several names
    is written once and linked.
    """
    names: dict[str, list[str]] = {}
    for member in _members(path):
        name = _strip_top(member.name)
        if (member.isfile() or member.islnk()) and name.startswith(tuple(keep)):
            content = _strip_top(member.linkname) if member.islnk() else name
            names.setdefault(content, []).append(name)
    with tarfile.open(path, "r|gz") as tar:
        for member in tar:
            copies = names.pop(_strip_top(member.name), []) if member.isfile() else []
            if copies and (file := tar.extractfile(member)):
                _write(file, [target / name for name in copies])
    if names:
        raise StackError(
            f"{path} lacks {min(names)}", "update the lock file to a version that contains it"
        )


def digest(folder: Path) -> str:
    """Return one sha256 over the names and contents of all files in a folder."""
    digests: dict[int, str] = {}
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        inode = path.stat().st_ino
        if inode not in digests:
            digests[inode] = sha256_of(path)
        total.update(f"{digests[inode]}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _install(
    archive: Archive,
    cache: Path,
    progress: Progress | None,
    base_url: str,
    sleep: Callable[[float], None],
) -> None:
    lock = Lock(archive.name, archive.version, (archive.jar,))
    [packed] = fetch(lock, cache / "jars", progress, base_url, sleep)
    # Remove leftovers of a start that was killed here; the lock keeps other processes out.
    part = cache / f".{archive.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        unpack(packed, archive.keep, part)
        if digest(part) != archive.files_sha256:
            raise JarChanged(
                f"{packed} differs from the locked files of {archive.jar.coordinate}",
                "rewrite the lock with `python -m homma.stack.downloads.relock`",
            )
        part.replace(archive.folder(cache))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    packed.unlink()


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(path, "r|gz") as tar:
        yield from tar


def _strip_top(name: str) -> str:
    return name.partition("/")[2]


def _write(file: IO[bytes], paths: list[Path]) -> None:
    first, *links = paths
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with first.open("xb") as output:
        shutil.copyfileobj(file, output)
    for path in links:
        path.hardlink_to(first)


@contextmanager
def _exclusive(cache: Path, name: str) -> Iterator[None]:
    """Hold a lock against other processes that unpack or verify this archive."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
