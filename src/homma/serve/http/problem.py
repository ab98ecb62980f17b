"""Refused requests as RFC 9457 problem details."""

from http import HTTPStatus

from starlette.responses import Response

from homma.errors import RequestRefused
from homma.serve import wire


def problem(error: RequestRefused) -> Response:
    """The answer to a refused request: what is wrong and what to do."""
    details = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": str(error),
    }
    if error.parameter:
        details["parameter"] = error.parameter
    headers = {"cache-control": "no-store"} | ({"retry-after": "5"} if error.status == 429 else {})
    return Response(
        wire.compact(details), error.status, headers, media_type="application/problem+json"
    )
