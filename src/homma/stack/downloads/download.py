"""Downloads one file over HTTP, atomically and verified."""

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
# Worth another attempt: the server is temporarily busy or broken.
TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})


def download(
    url: str,
    target: Path,
    *,
    count: Callable[[int], None],
    check: Callable[[Path], None],
    stop: threading.Event,
    sleep: Callable[[float], None],
) -> None:
    """Download `url` to `target`, which is created atomically after `check` has passed.

    `count` gets the bytes of each chunk (negative when an attempt is discarded), `check` raises
    if the complete temporary file is wrong, `stop` ends the download early, and `sleep` waits
    between attempts. Raises StackError if the download fails or the file cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise StackError(
            f"{url} is not an http or https address", "use the URL of a Maven repository"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that moving it is a rename and never a copy.
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                _download_with_retries(url, file, count, stop, sleep)
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
            "free some space, or choose another cache folder",
        ) from error


def _download_with_retries(
    url: str,
    file: IO[bytes],
    count: Callable[[int], None],
    stop: threading.Event,
    sleep: Callable[[float], None],
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _attempt(url, file, count, stop)
        except _AttemptFailed as failure:
            count(-file.tell())
            file.seek(0)
            file.truncate()
            if attempt == ATTEMPTS or not failure.is_transient or stop.is_set():
                raise StackError(
                    f"{url} could not be downloaded: {failure}",
                    "check the network and the proxy variables, or use a Maven mirror",
                ) from failure
            sleep(2.0 ** (attempt - 1))
        else:
            return


class _AttemptFailed(Exception):
    """One attempt failed; `is_transient`: another attempt may succeed."""

    def __init__(self, why: str, is_transient: bool) -> None:
        self.is_transient = is_transient
        super().__init__(why)


def _attempt(
    url: str, file: IO[bytes], count: Callable[[int], None], stop: threading.Event
) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "homma"})  # noqa: S310 - checked
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - checked
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            raise _AttemptFailed(f"HTTP {error.code}", error.code in TRANSIENT) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _AttemptFailed(str(getattr(error, "reason", error)), is_transient=True) from error
    with response:
        expected = response.headers.get("Content-Length")
        while not stop.is_set():
            try:
                chunk = response.read(CHUNK_BYTES)
            except (http.client.HTTPException, OSError) as error:
                raise _AttemptFailed(f"cut off ({error})", is_transient=True) from error
            if not chunk:
                break
            file.write(chunk)
            count(len(chunk))
        if not stop.is_set() and expected is not None and file.tell() != int(expected):
            # To some readers a server that hangs up early looks like the end of the file.
            raise _AttemptFailed(
                f"cut off after {file.tell()} of {expected} bytes", is_transient=True
            )
