import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from homma.errors import JarChanged, StackError
from homma.stack.downloads.archive import (
    Archive,
    digest,
    ensure_unpacked,
    read_archive,
    render,
    unpack,
)
from homma.stack.downloads.jars import Jar

KEEP = ("NOTICE", "lib/", "plugin/lake/")


def packed(path: Path) -> bytes:
    """A server's archive in which two entries are hard links to a jar."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in (
            ("NOTICE", "the license"),
            ("bin/launcher", "not needed"),
            ("plugin/other/shared.jar", "of two plugins"),
            ("lib/core.jar", "the core"),
        ):
            member = tarfile.TarInfo(f"server-1/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        for name in ("plugin/lake/shared.jar", "lib/shared.jar"):
            member = tarfile.TarInfo(f"server-1/{name}")
            member.type, member.linkname = tarfile.LNKTYPE, "server-1/plugin/other/shared.jar"
            tar.addfile(member)
    return path.read_bytes()


def locked(body: bytes, files_sha256: str) -> Archive:
    jar = Jar("org.example:server:1:tar.gz", hashlib.sha256(body).hexdigest(), len(body))
    return Archive("server", "1", jar, KEEP, files_sha256)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """The lock of an archive that is already in the cache, so nothing is downloaded."""
    cache = tmp_path / "cache"
    target = cache / "jars" / "org/example/server/1/server-1.tar.gz"
    target.parent.mkdir(parents=True)
    body = packed(target)
    unpack(target, KEEP, tmp_path / "expected")
    return locked(body, digest(tmp_path / "expected"))


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_only_kept_parts_are_unpacked_and_links_are_resolved(
    archive: Archive, tmp_path: Path
) -> None:
    folder = ensure_unpacked(archive, tmp_path / "cache")
    assert files(folder) == {
        "NOTICE": "the license",
        "lib/core.jar": "the core",
        "lib/shared.jar": "of two plugins",
        "plugin/lake/shared.jar": "of two plugins",
    }
    jar, link = folder / "lib/shared.jar", folder / "plugin/lake/shared.jar"
    assert jar.stat().st_ino == link.stat().st_ino


def test_the_archive_is_deleted_and_not_downloaded_again(archive: Archive, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = ensure_unpacked(archive, cache)
    assert not (cache / "jars" / archive.jar.path).exists()
    assert ensure_unpacked(archive, cache, base_url="http://127.0.0.1:1") == folder


@pytest.mark.parametrize("change", ["byte", "one more", "one less"])
def test_a_changed_folder_is_reported(archive: Archive, tmp_path: Path, change: str) -> None:
    folder = ensure_unpacked(archive, tmp_path / "cache")
    if change == "byte":
        (folder / "lib/core.jar").write_text("the cord")
    elif change == "one more":
        (folder / "lib/more.jar").write_text("")
    else:
        (folder / "lib/shared.jar").unlink()
    with pytest.raises(JarChanged, match=folder.name):
        ensure_unpacked(archive, tmp_path / "cache")


def test_an_archive_with_other_contents_leaves_nothing_behind(
    archive: Archive, tmp_path: Path
) -> None:
    other = replace(archive, files_sha256="0" * 64)
    with pytest.raises(JarChanged, match=r"server-1\.tar\.gz"):
        ensure_unpacked(other, tmp_path / "cache")
    assert not other.folder(tmp_path / "cache").exists()
    assert not list((tmp_path / "cache").glob("*.part"))


def test_leftovers_of_a_killed_start_are_replaced(archive: Archive, tmp_path: Path) -> None:
    leftover = tmp_path / "cache" / ".server.part"
    leftover.mkdir()
    (leftover / "half").write_text("")
    assert "half" not in files(ensure_unpacked(archive, tmp_path / "cache"))


def test_a_dangling_link_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "server-1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("server-1/lib/a.jar")
        member.type, member.linkname = tarfile.LNKTYPE, "server-1/lib/b.jar"
        tar.addfile(member)
    with pytest.raises(StackError, match=r"lib/b\.jar"):
        unpack(path, KEEP, tmp_path / "target")


def test_the_committed_lock_has_one_trino_version() -> None:
    trino = read_archive("trino")
    assert trino.jar.coordinate == f"io.trino:trino-server:{trino.version}:tar.gz"
    assert {"lib/", "plugin/iceberg/", "plugin/kafka/"} <= set(trino.keep)
    assert len(bytes.fromhex(trino.files_sha256)) == len(bytes.fromhex(trino.jar.sha256)) == 32
    committed = Path("src/homma/stack/downloads/trino.archive.toml").read_text("utf-8")
    assert render(trino) == committed
