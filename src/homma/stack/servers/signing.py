"""Signs S3 requests without a body, with AWS Signature Version 4."""

import hashlib
import hmac
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from typing import Final

from homma.stack.servers.credentials import Credentials

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()


def sign_request(
    method: str, url: str, credentials: Credentials, region: str, at_s: float
) -> urllib.request.Request:
    """Return an S3 request signed at the time `at_s` (epoch seconds)."""
    parts = urllib.parse.urlsplit(url)
    time = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": _NO_BODY, "x-amz-date": time}
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = [method, parts.path or "/", _query(parts.query), *lines, "", names, _NO_BODY]
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, "\n".join([_ALGORITHM, time, scope, digest]).encode(), "sha256")
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature.hex()}"
    )
    return urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - our own URL


def _query(text: str) -> str:
    pairs = sorted(urllib.parse.parse_qsl(text, keep_blank_values=True))
    return urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote, safe="~")
