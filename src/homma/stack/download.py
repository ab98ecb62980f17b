"""One file over HTTP: whole and checked, or not there at all."""

import contextlib
import http.client
import os
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from homma.errors import StackError

ATTEMPTS: Final = 4
TIMEOUT_S: Final = 30.0
CHUNK_BYTES: Final = 1 << 16
# Worth another attempt: the server is busy or broken for the moment.
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


def download(
    url: str,
    target: Path,
    *,
    count: Callable[[int], None],
    check: Callable[[Path], None],
    stop: threading.Event,
    sleep: Callable[[float], None],
) -> None:
    """Bring `url` to `target`, which appears in one step after `check` has passed.

    `count` is told the bytes of each chunk (negative when an attempt is thrown away), `check`
    raises if the finished temporary file is wrong, `stop` ends the work early, and `sleep` waits
    between attempts. Raises StackError when it cannot be had or written.
    """
    if not url.startswith(("http://", "https://")):
        raise StackError(f"{url} is not an http or https address", "give a Maven repository's URL")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that the move is a rename and never a copy.
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                _attempts(url, file, count, stop, sleep)
                file.flush()
                os.fsync(file.fileno())
            if stop.is_set():
                return
            check(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StackError(
            f"{target} cannot be written: {error.strerror or error}",
            "free some room, or choose another cache folder",
        ) from error


def _attempts(
    url: str,
    file: IO[bytes],
    count: Callable[[int], None],
    stop: threading.Event,
    sleep: Callable[[float], None],
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _one(url, file, count, stop)
        except _Broken as broken:
            count(-file.tell())
            file.seek(0)
            file.truncate()
            if attempt == ATTEMPTS or not broken.passing or stop.is_set():
                raise StackError(
                    f"{url} could not be downloaded: {broken}",
                    "check the network and the proxy variables, or name a Maven mirror",
                ) from broken
            sleep(2.0 ** (attempt - 1))
        else:
            return


class _Broken(Exception):
    """One attempt failed; `passing` says whether another is worth it."""

    def __init__(self, why: str, passing: bool) -> None:
        self.passing = passing
        super().__init__(why)


def _one(url: str, file: IO[bytes], count: Callable[[int], None], stop: threading.Event) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "homma"})  # noqa: S310 - checked
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - checked
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            raise _Broken(f"HTTP {error.code}", error.code in PASSING) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _Broken(str(getattr(error, "reason", error)), passing=True) from error
    with response:
        expected = response.headers.get("Content-Length")
        while not stop.is_set():
            try:
                chunk = response.read(CHUNK_BYTES)
            except (http.client.HTTPException, OSError) as error:
                raise _Broken(f"cut off ({error})", passing=True) from error
            if not chunk:
                break
            file.write(chunk)
            count(len(chunk))
        if not stop.is_set() and expected is not None and file.tell() != int(expected):
            # A server that hangs up early looks like the end of the file to some readers.
            raise _Broken(f"cut off after {file.tell()} of {expected} bytes", passing=True)
