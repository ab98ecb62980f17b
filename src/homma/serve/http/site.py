"""The chart page, as built into the package, and the page to try the API."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_HERE: Final = Path(__file__).parent.parent
STATIC_DIR: Final = _HERE / "static"
_DOCS: Final = _HERE / "docs"
_NOT_BUILT: Final = (
    "The page has not been built: run `make page` in homma's source tree, or install homma from "
    "a wheel, which contains the page. The API is documented at /api/docs.\n"
)
_MEDIA_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def routes(static_dir: Path = STATIC_DIR) -> list[BaseRoute]:
    """The routes of the chart page and its assets."""

    async def index(request: Request) -> Response:
        del request
        page = static_dir / "index.html"
        if not page.is_file():
            return PlainTextResponse(_NOT_BUILT, 404)
        return FileResponse(page, headers={"cache-control": "no-cache"})

    assets = _Assets(directory=static_dir / "assets", check_dir=False)
    return [Route("/", index), Mount("/assets", assets)]


class _Assets(StaticFiles):
    """Files whose names contain a hash of their content."""

    async def check_config(self) -> None:
        """Allow a missing folder: the page may not be built."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file that clients may cache forever."""
        answer = await super().get_response(path, scope)
        if answer.status_code == 200:
            answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


async def docs(request: Request) -> Response:
    """The page to try the API, and its script and style."""
    name = request.path_params.get("name", "docs.html")
    file = _DOCS / name
    if name not in ("docs.html", "docs.js", "docs.css"):
        return PlainTextResponse("not found\n", 404)
    return FileResponse(
        file, media_type=_MEDIA_TYPES[file.suffix], headers={"cache-control": "no-cache"}
    )
