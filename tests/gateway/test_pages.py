"""The OpenAPI description and the pages."""

import re

import httpx2
import pytest


@pytest.fixture
async def alone(make) -> httpx2.AsyncClient:
    """A gateway without a model server."""
    return await make("127.0.0.1:1")


async def test_every_operation_is_described(alone: httpx2.AsyncClient) -> None:
    description = (await alone.get("/openapi.json")).json()
    operations = [one for path in description["paths"].values() for one in path.values()]
    ids = [one["operationId"] for one in operations]
    assert len(ids) == len(set(ids)) >= 20
    for one in operations:
        assert len(one["tags"]) == 1, one["operationId"]
        assert one["summary"]
        assert "422" not in one["responses"]
        assert one["responses"]["200"].get("content"), one["operationId"]
    assert "422" not in str(description)
    assert "HTTPValidationError" not in str(description)
    for named in set(re.findall(r"#/components/schemas/(\w+)", str(description))):
        assert named in description["components"]["schemas"]


async def test_bodies_have_examples(alone: httpx2.AsyncClient) -> None:
    description = (await alone.get("/openapi.json")).json()
    for path, operations in description["paths"].items():
        if path.endswith((":predict", "}:classify", ":regress")):
            content = operations["post"]["requestBody"]["content"]["application/json"]
            assert content["examples"], path
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert description["components"]["schemas"][name]["properties"], path
        if path.endswith("images:classify"):
            assert "multipart/form-data" in operations["post"]["requestBody"]["content"]


@pytest.mark.shows("GET /", "no outside resource, a")
@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_need_no_outside_resource(alone: httpx2.AsyncClient, path: str) -> None:
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
        outside = re.findall(r"https?://[^\s\"')]+", response.text) if one.startswith("/web/") else []
        assert outside in ([], ["http://www.w3.org/2000/svg"])
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page.text)


async def test_the_page_names_the_formats_of_the_list(alone: httpx2.AsyncClient) -> None:
    page = (await alone.get("/")).text
    types = "image/jpeg,image/png,image/gif,image/bmp,image/webp"
    assert f'accept="{types}"' in page
    assert "JPEG, PNG, GIF, BMP or WebP. It goes to this server" in page
    assert "{" not in page


@pytest.mark.shows("GET /web/{file}")
async def test_only_the_pages_files_are_served(alone: httpx2.AsyncClient) -> None:
    for path in ("/web/", "/web/index.html", "/web/..%2fapp.py", "/redoc"):
        assert (await alone.get(path)).status_code == 404
