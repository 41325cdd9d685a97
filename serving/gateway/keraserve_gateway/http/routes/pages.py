"""The routes of the pages: the demo at `/`, the API's description at `/docs`, without external resources.

Swagger UI's files are those in the package `fastapi-offline`.
"""

from importlib import resources
from pathlib import PurePath

from fastapi import APIRouter
from starlette.responses import Response

from keraserve_protocol import image_formats

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES = {"/": "index.html", "/docs": "docs.html"}
_SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js")
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), display-capture=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def router() -> APIRouter:
    """Make the routes; the files are small and kept in memory."""
    routes = APIRouter(include_in_schema=False)
    folder = resources.files("keraserve_gateway") / "web"
    for path, name in _PAGES.items():
        _add_page(routes, path, _filled((folder / name).read_bytes()), "text/html")
    swagger = resources.files("fastapi_offline") / "static"
    for entry in (*folder.iterdir(), *(swagger / name for name in _SWAGGER)):
        media_type = _MEDIA_TYPES.get(PurePath(entry.name).suffix)
        if media_type:
            _add_page(routes, f"/web/{entry.name}", entry.read_bytes(), media_type)
    return routes


def _filled(page: bytes) -> bytes:
    """Replace a page's placeholders by the image formats."""
    types = ",".join(one.media_types[0] for one in image_formats.FORMATS)
    filled = page.replace(b"{image types}", types.encode())
    return filled.replace(b"{image formats}", image_formats.named().encode())


def _add_page(routes: APIRouter, path: str, content: bytes, media_type: str) -> None:
    @routes.get(path)
    async def page() -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)
