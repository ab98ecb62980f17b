"""S3 with fewer requests: one per small file, and none for metadata that is still in memory.

A commit reads the manifests of the previous commit three times. Manifests never change, so small
ones are cached.
"""

from io import BytesIO
from threading import Lock
from typing import Any, Final

from cachetools import LRUCache
from pyiceberg.io import InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

#: The class name in pyiceberg's configuration.
NAME: Final = f"{__name__}.Storage"
_CACHE_BYTES: Final = 8 << 20
_SUFFIX: Final = ".avro"


class FileCache:
    """The content of recently read or written files; thread-safe."""

    def __init__(self, size: int) -> None:
        self._cache: LRUCache[str, bytes] = LRUCache(size, len)
        self._lock = Lock()

    def get(self, location: str) -> bytes | None:
        """A file's content, or None if it is not cached."""
        with self._lock:
            return self._cache.get(location)

    def put(self, location: str, content: bytes) -> None:
        """Cache a file's content unless it is large."""
        if len(content) <= self._cache.maxsize // 8:
            with self._lock:
                self._cache[location] = content


class Storage(PyArrowFileIO):
    """pyarrow's S3, with a cache for metadata."""

    def __init__(self, properties: Any) -> None:
        super().__init__(properties)
        self._cache = FileCache(_CACHE_BYTES)

    def _initialize_s3_fs(self, netloc: str | None) -> Any:
        rebuild, (settings,) = super()._initialize_s3_fs(netloc).__reduce__()
        # One request instead of three for a file that fits into one.
        return rebuild({**settings, "allow_delayed_open": True})

    def new_input(self, location: str) -> InputFile:  # type: ignore[override]
        """Read a file, from the cache if possible."""
        file = super().new_input(location)
        return CachedInput(file, self._cache) if location.endswith(_SUFFIX) else file

    def new_output(self, location: str) -> OutputFile:  # type: ignore[override]
        """Write a file; cache it if it is metadata."""
        file = super().new_output(location)
        return CachedOutput(file, self._cache) if location.endswith(_SUFFIX) else file


class CachedInput(InputFile):
    """A metadata file that is read from S3 only once."""

    def __init__(self, file: PyArrowFile, cache: FileCache) -> None:
        super().__init__(file.location)
        self._file = file
        self._cache = cache

    def __len__(self) -> int:
        content = self._cache.get(self.location)
        return len(self._file) if content is None else len(content)

    def exists(self) -> bool:
        """Whether the file exists."""
        return self._cache.get(self.location) is not None or self._file.exists()

    def open(self, seekable: bool = True) -> InputStream:
        """Open the file's content."""
        content = self._cache.get(self.location)
        if content is None:
            with self._file.open(seekable=seekable) as stream:
                content = stream.read()
            self._cache.put(self.location, content)
        return BytesIO(content)


class CachedOutput(OutputFile):
    """A metadata file that is cached when it is written."""

    def __init__(self, file: PyArrowFile, cache: FileCache) -> None:
        super().__init__(file.location)
        self._file = file
        self._cache = cache

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        """Whether the file exists."""
        return self._file.exists()

    def to_input_file(self) -> InputFile:
        """The same file, for reading."""
        return CachedInput(self._file, self._cache)

    def create(self, overwrite: bool = False) -> OutputStream:
        """Open the file for writing; it exists once it is closed."""
        return BufferedOutput(self._file, self._cache, overwrite=overwrite)


class BufferedOutput(BytesIO):
    """Buffers a file until it is closed."""

    def __init__(self, file: PyArrowFile, cache: FileCache, *, overwrite: bool) -> None:
        super().__init__()
        self._file = file
        self._cache = cache
        self._overwrite = overwrite

    def close(self) -> None:
        """Write the buffer; a second call does nothing."""
        if self.closed:
            return
        content = self.getvalue()
        super().close()
        with self._file.create(overwrite=self._overwrite) as stream:
            stream.write(content)
        self._cache.put(self._file.location, content)
