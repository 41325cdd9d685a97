"""The demo page and the page that describes the API."""

import re

import httpx2
import pytest


@pytest.fixture
async def alone(make) -> httpx2.AsyncClient:
    """A gateway without a model server."""
    return await make("127.0.0.1:1")


@pytest.mark.shows("GET /", "no outside resource, a")
@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_need_no_external_resource(alone: httpx2.AsyncClient, path: str) -> None:
    page = await alone.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    used = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert used
    for one in used:
        assert one.startswith("/")
        response = await alone.get(one)
        assert response.status_code == 200, one
        # Swagger UI names addresses in texts, which `test_page.py` sees are not loaded.
        ours = one.startswith("/web/") and "swagger" not in one
        outside = re.findall(r"https?://[^\s\"')]+", response.text) if ours else []
        assert outside in ([], ["http://www.w3.org/2000/svg"])
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page.text)


async def test_the_page_names_the_image_formats(alone: httpx2.AsyncClient) -> None:
    page = (await alone.get("/")).text
    types = "image/jpeg,image/png,image/gif,image/bmp,image/webp"
    assert f'accept="{types}"' in page
    assert "JPEG, PNG, GIF, BMP or WebP. It goes to this server" in page
    assert "{" not in page


@pytest.mark.shows("GET /web/{file}")
async def test_only_the_pages_files_are_served(alone: httpx2.AsyncClient) -> None:
    for path in ("/web/", "/web/index.html", "/web/..%2fapp.py", "/redoc"):
        assert (await alone.get(path)).status_code == 404
