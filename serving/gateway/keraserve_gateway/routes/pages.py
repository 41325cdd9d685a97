"""The pages for people: the demo at `/`, the API's description at `/docs`. No outside resource."""

from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/web/style.css": ("style.css", "text/css"),
    "/web/demo.js": ("demo.js", "text/javascript"),
    "/web/docs.js": ("docs.js", "text/javascript"),
    "/web/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def router() -> APIRouter:
    """Make the routes; the files are small and kept in memory."""
    routes = APIRouter(include_in_schema=False)
    folder = resources.files("keraserve_gateway") / "web"
    for path, (name, media_type) in _FILES.items():
        _add_page(routes, path, (folder / name).read_bytes(), media_type)
    return routes


def _add_page(routes: APIRouter, path: str, content: bytes, media_type: str) -> None:
    @routes.get(path)
    async def page() -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)
