"""A catalog's client that does not wait for ever, and what its errors become."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pydantic import ValidationError
from pyiceberg import exceptions as theirs
from pyiceberg.catalog.rest import RestCatalog
from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter

from homma.errors import HommaError, LakeDenied, LakeError, LakeUnreachable, TableMismatch

#: pyiceberg's configuration: names and values.
Properties = Mapping[str, str]

_CONNECT_S: Final = 5.0
_DENIED: Final = (
    theirs.UnauthorizedError,
    theirs.ForbiddenError,
    theirs.OAuthError,
    theirs.AuthorizationExpiredError,
)
_AWAY: Final = (
    RequestException,
    theirs.ServerError,
    theirs.ServiceUnavailableError,
    theirs.TooManyRequestsError,
    theirs.CommitStateUnknownException,
    TimeoutError,
)
_NOT_THERE: Final = (theirs.NoSuchTableError, theirs.NoSuchNamespaceError)
# What pyarrow says of S3 are OSErrors: their text alone tells them apart.
_S3_DENIED: Final = ("ACCESS_DENIED", "HTTP status 403", "INVALID_ACCESS_KEY", "SIGNATURE")


#: Told of a request to the catalog: its method, its path, whether it has been answered.
Watch = Callable[[str, str, bool], None]


class Limited(HTTPAdapter):
    """Requests with a limit; by default they wait for ever."""

    def __init__(self, watch: Watch, answer_s: float) -> None:
        super().__init__()
        self._watch = watch
        self._answer_s = answer_s

    def send(self, request: PreparedRequest, *args: Any, **more: Any) -> Response:
        """Send it."""
        more["timeout"] = more.get("timeout") or (_CONNECT_S, self._answer_s)
        method, path = str(request.method), request.path_url
        self._watch(method, path, False)
        answer = super().send(request, *args, **more)
        self._watch(method, path, True)
        return answer


class PatientCatalog(RestCatalog):
    """A REST catalog whose requests have a limit."""

    def __init__(self, watch: Watch, answer_s: float, **properties: str) -> None:
        self._limited = Limited(watch, answer_s)
        super().__init__("homma", **properties)

    def _config_headers(self, session: Session) -> None:
        # Called first for each session that is made, before anything is asked with it.
        session.mount("http://", self._limited)
        session.mount("https://", self._limited)
        super()._config_headers(session)


@contextmanager
def asking(doing: str, properties: Properties) -> Iterator[None]:
    """Turn what pyiceberg, requests and pyarrow raise into one of our errors."""
    try:
        yield
    except HommaError:
        raise
    except (theirs.RESTError, *_NOT_THERE, RequestException, OSError, ValueError) as error:
        raise explained(error, doing, properties) from error


def explained(error: Exception, doing: str, properties: Properties) -> LakeError:
    """One of our errors for one of theirs."""
    if isinstance(error, OSError) and not isinstance(error, RequestException | TimeoutError):
        return _of_storage(error, doing, properties)
    where = properties.get("uri", "?")
    what = f"{doing} at {where} failed ({_reason(error)})"
    if isinstance(error, _DENIED):
        return LakeDenied(
            what, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or -C credential="
        )
    if isinstance(error, _NOT_THERE):
        return TableMismatch(what, "start `homma land`, which makes the tables")
    if isinstance(error, _AWAY):
        return LakeUnreachable(what, "start the catalog there, or name another with --catalog-uri")
    if isinstance(error, ValidationError | ValueError):
        what = f"{doing}: {where} does not answer as an Iceberg REST catalog does"
    return LakeError(what, "see whether --catalog-uri and --warehouse are those of the catalog")


def _of_storage(error: OSError, doing: str, properties: Properties) -> LakeError:
    what = f"{doing} at {properties.get('s3.endpoint', '?')} failed ({_reason(error)})"
    text = str(error).upper()
    if isinstance(error, FileNotFoundError):
        return LakeError(what, "a file of the table is gone: see who else deletes files there")
    if any(sign.upper() in text for sign in _S3_DENIED):
        return LakeDenied(what, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return LakeUnreachable(what, "start S3 there, or name another with --s3-endpoint")


def _reason(error: Exception) -> str:
    """The first line of what they say, without the addresses of Python's objects."""
    if isinstance(error, RequestException) and error.response is None:
        return type(error).__name__
    text = str(error).strip().split("\n", 1)[0]
    return text[:200] or type(error).__name__
