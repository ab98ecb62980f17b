"""The page, as it was built into the package, and the page on which the API can be tried."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_HERE: Final = Path(__file__).parent
BUILT: Final = _HERE / "static"
_DOCS: Final = _HERE / "docs"
_NOT_BUILT: Final = (
    "The page has not been built: run `make page` in homma's project folder, or install homma "
    "from a wheel, which has it. The API is at /api/docs.\n"
)
_KINDS: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def routes(built: Path = BUILT) -> list[BaseRoute]:
    """Addresses of the page and of what it needs."""

    async def index(request: Request) -> Response:
        del request
        page = built / "index.html"
        if not page.is_file():
            return PlainTextResponse(_NOT_BUILT, 404)
        return FileResponse(page, headers={"cache-control": "no-cache"})

    assets = _Assets(directory=built / "assets", check_dir=False)
    return [Route("/", index), Mount("/assets", assets)]


class _Assets(StaticFiles):
    """Files whose names change with what is in them."""

    async def check_config(self) -> None:
        """The folder need not be there."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file that need never be asked for again."""
        answer = await super().get_response(path, scope)
        if answer.status_code == 200:
            answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


async def docs(request: Request) -> Response:
    """The page on which the API can be tried, and what it needs."""
    name = request.path_params.get("name", "docs.html")
    found = _DOCS / name
    if name not in ("docs.html", "docs.js", "docs.css"):
        return PlainTextResponse("there is nothing\n", 404)
    return FileResponse(
        found, media_type=_KINDS[found.suffix], headers={"cache-control": "no-cache"}
    )
