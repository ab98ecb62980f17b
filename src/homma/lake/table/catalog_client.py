"""The catalog's client, with timeouts, and the translation of its errors into ours."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pydantic import ValidationError
from pyiceberg import exceptions as errors
from pyiceberg.catalog.rest import RestCatalog
from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter

from homma.errors import HommaError, LakeDenied, LakeError, LakeUnreachable, TableMismatch

#: pyiceberg's configuration: names and values.
Properties = Mapping[str, str]

_CONNECT_TIMEOUT_S: Final = 5.0
_DENIED: Final = (
    errors.UnauthorizedError,
    errors.ForbiddenError,
    errors.OAuthError,
    errors.AuthorizationExpiredError,
)
_UNREACHABLE: Final = (
    RequestException,
    errors.ServerError,
    errors.ServiceUnavailableError,
    errors.TooManyRequestsError,
    errors.CommitStateUnknownException,
    TimeoutError,
)
_MISSING: Final = (errors.NoSuchTableError, errors.NoSuchNamespaceError)
# pyarrow raises OSError for all errors of S3: only the text tells them apart.
_S3_DENIED: Final = ("ACCESS_DENIED", "HTTP status 403", "INVALID_ACCESS_KEY", "SIGNATURE")

#: Called for each request to the catalog: with method, path, and whether it was answered.
OnRequest = Callable[[str, str, bool], None]


class TimeoutAdapter(HTTPAdapter):
    """HTTP requests with timeouts; by default they wait forever."""

    def __init__(self, on_request: OnRequest, answer_timeout_s: float) -> None:
        super().__init__()
        self._on_request = on_request
        self._answer_timeout_s = answer_timeout_s

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request, with a timeout if it has none."""
        kwargs["timeout"] = kwargs.get("timeout") or (_CONNECT_TIMEOUT_S, self._answer_timeout_s)
        method, path = str(request.method), request.path_url
        self._on_request(method, path, False)
        answer = super().send(request, *args, **kwargs)
        self._on_request(method, path, True)
        return answer


class TimeoutCatalog(RestCatalog):
    """A REST catalog whose requests have timeouts."""

    def __init__(self, on_request: OnRequest, answer_timeout_s: float, **properties: str) -> None:
        self._adapter = TimeoutAdapter(on_request, answer_timeout_s)
        super().__init__("homma", **properties)

    def _config_headers(self, session: Session) -> None:
        # Called once per new session, before its first request.
        session.mount("http://", self._adapter)
        session.mount("https://", self._adapter)
        super()._config_headers(session)


@contextmanager
def translated_errors(action: str, properties: Properties) -> Iterator[None]:
    """Raise our own errors in place of those of pyiceberg, requests and pyarrow."""
    try:
        yield
    except HommaError:
        raise
    except (errors.RESTError, *_MISSING, RequestException, OSError, ValueError) as error:
        raise translate_error(error, action, properties) from error


def translate_error(error: Exception, action: str, properties: Properties) -> LakeError:
    """Turn an error of pyiceberg, requests or pyarrow into ours."""
    if isinstance(error, OSError) and not isinstance(error, RequestException | TimeoutError):
        return _translate_storage_error(error, action, properties)
    where = properties.get("uri", "?")
    problem = f"{action} at {where} failed ({_reason(error)})"
    if isinstance(error, _DENIED):
        return LakeDenied(
            problem, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set -C credential="
        )
    if isinstance(error, _MISSING):
        return TableMismatch(problem, "start `homma land`, which creates the tables")
    if isinstance(error, _UNREACHABLE):
        remedy = "start the catalog there, or set --catalog-uri, or the --dir of a `homma up`"
        return LakeUnreachable(problem, remedy)
    if isinstance(error, ValidationError | ValueError):
        problem = f"{action}: {where} does not answer like an Iceberg REST catalog"
    return LakeError(problem, "check --catalog-uri and --warehouse")


def _translate_storage_error(error: OSError, action: str, properties: Properties) -> LakeError:
    problem = f"{action} at {properties.get('s3.endpoint', '?')} failed ({_reason(error)})"
    text = str(error).upper()
    if isinstance(error, FileNotFoundError):
        return LakeError(
            problem,
            "a file of the table is missing: check whether another program deletes files in the "
            "bucket",
        )
    if any(marker.upper() in text for marker in _S3_DENIED):
        return LakeDenied(problem, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return LakeUnreachable(problem, "start S3 at this address, or set --s3-endpoint")


def _reason(error: Exception) -> str:
    """The first line of an error's text, without Python's object addresses."""
    if isinstance(error, RequestException) and error.response is None:
        return type(error).__name__
    text = str(error).strip().split("\n", 1)[0]
    return text[:200] or type(error).__name__
