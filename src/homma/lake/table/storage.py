"""S3 with fewer requests: small files in one, and metadata that was just written not read again.

A commit looks three times at the manifests of the commit before. They never change, so those that
are small are kept in memory.
"""

from io import BytesIO
from threading import Lock
from typing import Any, Final

from cachetools import LRUCache
from pyiceberg.io import InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

#: As pyiceberg is to be told.
NAME: Final = f"{__name__}.Storage"
_KEPT_BYTES: Final = 8 << 20
_SUFFIX: Final = ".avro"


class Memory:
    """The bytes of files read or written last; several threads ask for them."""

    def __init__(self, size: int) -> None:
        self._kept: LRUCache[str, bytes] = LRUCache(size, len)
        self._lock = Lock()

    def get(self, location: str) -> bytes | None:
        """What is in a file, if it is known."""
        with self._lock:
            return self._kept.get(location)

    def keep(self, location: str, found: bytes) -> None:
        """Know it from now on, unless it is large."""
        if len(found) <= self._kept.maxsize // 8:
            with self._lock:
                self._kept[location] = found


class Storage(PyArrowFileIO):
    """pyarrow's S3, and a memory for metadata."""

    def __init__(self, properties: Any) -> None:
        super().__init__(properties)
        self._kept = Memory(_KEPT_BYTES)

    def _initialize_s3_fs(self, netloc: str | None) -> Any:
        rebuild, (settings,) = super()._initialize_s3_fs(netloc).__reduce__()
        # A file that fits into one request needs no three.
        return rebuild({**settings, "allow_delayed_open": True})

    def new_input(self, location: str) -> InputFile:  # type: ignore[override]
        """Read a file, or remember it."""
        there = super().new_input(location)
        return Kept(there, self._kept) if location.endswith(_SUFFIX) else there

    def new_output(self, location: str) -> OutputFile:  # type: ignore[override]
        """Write a file, and keep it if it is metadata."""
        there = super().new_output(location)
        return Keeping(there, self._kept) if location.endswith(_SUFFIX) else there


class Kept(InputFile):
    """A file of metadata that is read once."""

    def __init__(self, there: PyArrowFile, kept: Memory) -> None:
        super().__init__(there.location)
        self._there = there
        self._kept = kept

    def __len__(self) -> int:
        found = self._kept.get(self.location)
        return len(self._there) if found is None else len(found)

    def exists(self) -> bool:
        """Whether it is there."""
        return self._kept.get(self.location) is not None or self._there.exists()

    def open(self, seekable: bool = True) -> InputStream:
        """Its bytes."""
        found = self._kept.get(self.location)
        if found is None:
            with self._there.open(seekable=seekable) as stream:
                found = stream.read()
            self._kept.keep(self.location, found)
        return BytesIO(found)


class Keeping(OutputFile):
    """A file of metadata that is kept as it is written."""

    def __init__(self, there: PyArrowFile, kept: Memory) -> None:
        super().__init__(there.location)
        self._there = there
        self._kept = kept

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        """Whether it is there."""
        return self._there.exists()

    def to_input_file(self) -> InputFile:
        """The same, to be read."""
        return Kept(self._there, self._kept)

    def create(self, overwrite: bool = False) -> OutputStream:
        """Write to it; it is there when it is closed."""
        return Writing(self._there, self._kept, overwrite=overwrite)


class Writing(BytesIO):
    """Bytes on their way."""

    def __init__(self, there: PyArrowFile, kept: Memory, *, overwrite: bool) -> None:
        super().__init__()
        self._there = there
        self._kept = kept
        self._overwrite = overwrite

    def close(self) -> None:
        """Write them; a second time it does nothing."""
        if self.closed:
            return
        found = self.getvalue()
        super().close()
        with self._there.create(overwrite=self._overwrite) as stream:
            stream.write(found)
        self._kept.keep(self._there.location, found)
