"""API keys: who may ask, for which models, how often; over HTTP and gRPC; while the file changes."""

import hmac
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2
import pytest
import structlog

from keraserve_gateway import cli
from keraserve_gateway.api_keys import keys, token_bucket
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.http.app import gateway_of
from keraserve_gateway.settings import Settings
from keraserve_protocol import messages as m
from keraserve_protocol import services

STATUS = "/v1/models/colours"


def available(request: Any, context: Any) -> m.GetModelStatusResponse:
    response = m.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=30)
    return response


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def write(file: Path, *entries: str) -> None:
    part = file.with_name("part")
    part.write_text("\n".join(entries))
    part.replace(file)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.shows(
    "Authorization: Bearer KEY",
    "WWW-Authenticate",
    "no-key",
    "model-forbidden",
    "KERASERVE_KEYS_FILE",
    "good for some models",
    "keraserve_gateway_rejected_total",
)
async def test_keys_are_for_their_models(make, serve_faults, file: Path) -> None:
    everything, for_everything = keys.make("operator")
    colours, for_colours = keys.make("shop", ["colours"])
    write(file, for_everything, for_colours)
    address = await serve_faults({services.GET_MODEL_STATUS: available})
    gateway = await make(address, models="colours,other", keys_file=file)
    for headers in ({}, {"authorization": "Basic x"}, {"authorization": "Bearer "}):
        response = await gateway.get(STATUS, headers=headers)
        assert (response.status_code, response.headers["www-authenticate"]) == (
            401,
            'Bearer realm="keraserve"',
        )
    wrong = (colours[:-1] + "!", colours + "x", colours.replace("ks_", "ks-"), "x", "ks_00000000_x", "ü")
    for one in wrong:
        response = await gateway.get(STATUS, headers={b"x-api-key": one.encode()})
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
    for headers in (bearer(colours), {"authorization": f"bearer  {colours}"}, {"x-api-key": colours}):
        assert (await gateway.get(STATUS, headers=headers)).status_code == 200
    for path in ("/v1/models/other", "/v1/models/made-up", "/v2/models/other", "/v1/models/oth%65r"):
        response = await gateway.get(path, headers=bearer(colours))
        assert response.status_code == 403
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"]
        assert (await gateway.get(path)).status_code == 401
    assert (
        await gateway.post("/v1/models/other/images:classify", headers=bearer(colours))
    ).status_code == 403

    async def listed(key: str) -> list[str]:
        return [
            one["name"] for one in (await gateway.get("/v1/models", headers=bearer(key))).json()["models"]
        ]

    assert await listed(everything) == ["colours", "other"]
    assert await listed(colours) == ["colours"]
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/", "/docs", "/openapi.json"):
        assert (await gateway.get(path)).status_code == 200
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        assert (await gateway.get(path)).status_code == 200
    rejected = (await gateway.get("/metrics")).text
    for reason in ("no-key", "key-unknown", "model-forbidden"):
        assert f'keraserve_gateway_rejected_total{{reason="{reason}"}}' in rejected


@pytest.mark.shows("not-found")
async def test_of_an_unknown_model_only_those_of_the_key_are_named(make, serve_faults, file: Path) -> None:
    async def missing(request: m.GetModelStatusRequest, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.model_spec.name}")

    shop, for_shop = keys.make("shop", ["colours", "sold"])
    write(file, for_shop)
    address = await serve_faults({services.GET_MODEL_METADATA: missing, services.GET_MODEL_STATUS: missing})
    gateway = await make(address, models="other,colours,secret", keys_file=file)
    response = await gateway.get("/v2/models/sold", headers=bearer(shop))
    assert (response.status_code, response.json()["error"]) == (404, "no sold; known models: colours")


@pytest.mark.shows("compared in constant time")
def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    key, entry = keys.make("a")
    write(file, entry)
    ring = keys.Keys(file, rate=1)
    compared: list[tuple[str, str]] = []

    real = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    assert ring.check(key)
    for wrong in (key[:-1], "ks_00000000_x", "x"):  # its id known, and not: the same work
        with pytest.raises(keys.UnknownApiKey):
            ring.check(wrong)
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)] * 4
    assert key not in str(compared)


@pytest.mark.shows("too-fast", "KERASERVE_KEY_REQUESTS_PER_SECOND", "a rate of its")
async def test_a_key_has_a_rate_limit(make, serve_faults, file: Path) -> None:
    slow, for_slow = keys.make("slow", rate=0.01)
    other, for_other = keys.make("other")
    write(file, for_slow, for_other)
    address = await serve_faults({services.GET_MODEL_STATUS: available})
    gateway = await make(address, keys_file=file)
    assert (await gateway.get(STATUS, headers=bearer(slow))).status_code == 200
    rejected = await gateway.get(STATUS, headers=bearer(slow))
    assert rejected.status_code == 429
    assert 90 <= int(rejected.headers["retry-after"]) <= 100
    assert (await gateway.get(STATUS, headers=bearer(other))).status_code == 200
    assert (await gateway.get("/livez", headers=bearer(slow))).status_code == 200
    strict = await make(address, keys_file=file, key_requests_per_second=0.02)  # for whose entry says none
    statuses = [(await strict.get(STATUS, headers=bearer(other))).status_code for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.shows("KERASERVE_KEY_REQUESTS_PER_SECOND")
def test_tokens_come_back_with_time(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    now = 1000.0
    monkeypatch.setattr(token_bucket.time, "monotonic", lambda: now)
    key, entry = keys.make("a")
    write(file, entry)
    ring = keys.Keys(file, rate=4)
    found = ring.check(key)
    for wait, may in ((0, 4), (0.25, 1), (0.5, 2), (60, 4)):
        now += wait
        for _ in range(may):
            ring.admit(found, ["colours"])
        with pytest.raises(keys.RateLimited) as rejected:
            ring.admit(found, ["colours"])
        assert rejected.value.retry_after == 1


@pytest.mark.shows("KERASERVE_KEYS_FILE", "off unless a file", "FILE can't be read")
async def test_the_file_is_read_again(make, serve_faults, file: Path) -> None:
    first, for_first = keys.make("first")
    second, for_second = keys.make("second")
    write(file, for_first)
    gateway = await make(await serve_faults({services.GET_MODEL_STATUS: available}), keys_file=file)

    async def status(key: str) -> int:
        return (await gateway.get(STATUS, headers=bearer(key))).status_code

    assert (await status(first), await status(second)) == (200, 401)
    write(file, for_first, for_second)
    assert (await status(first), await status(second)) == (200, 200)
    write(file, for_second)
    assert (await status(first), await status(second)) == (401, 200)
    write(file, "this is = { no")
    with structlog.testing.capture_logs() as logged:
        assert (await status(first), await status(second)) == (401, 200)
    (warning,) = [one for one in logged if one["log_level"] == "warning"]  # once, not for each request
    assert warning["event"] == "keys.toml can't be read"
    file.unlink()
    assert (await status(first), await status(second)) == (401, 200)
    write(file, "")  # nobody may do anything; that is not the same as no file
    assert (await status(first), await status(second)) == (401, 401)


@pytest.mark.shows(
    "keys, as metadata",
    "a rejection says when",
    "no-key",
    "model-forbidden",
    "too-fast",
    "keraserve_gateway_requests_total",
)
async def test_grpc_needs_the_same_keys(make, serve_faults, free_port, file: Path) -> None:
    key, entry = keys.make("shop", ["colours"], rate=0.01)
    write(file, entry)
    client: httpx2.AsyncClient = await make(
        await serve_faults({services.GET_MODEL_STATUS: available}), keys_file=file
    )
    address = f"127.0.0.1:{free_port()}"
    server = GrpcServer(address, gateway_of(client.app))  # type: ignore[attr-defined]
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = services.AsyncStub(channel)

        async def rejected(name: str, *metadata: tuple[str, str]) -> grpc.aio.AioRpcError:
            request = m.GetModelStatusRequest(model_spec=m.model_spec(name))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.get_model_status(request, metadata=metadata)
            return error.value

        mine = ("authorization", f"Bearer {key}")
        assert (await rejected("colours")).code() is grpc.StatusCode.UNAUTHENTICATED
        assert (await rejected("colours", ("x-api-key", "no"))).code() is grpc.StatusCode.UNAUTHENTICATED
        assert (await rejected("other", mine)).code() is grpc.StatusCode.PERMISSION_DENIED
        two = m.MultiInferenceRequest()
        for name in ("colours", "other"):
            two.tasks.add().model_spec.name = name
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.multi_inference(two, metadata=(mine,))
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        request = m.GetModelStatusRequest(model_spec=m.model_spec("colours"))
        assert (await stub.get_model_status(request, metadata=(mine,))).model_version_status
        too_fast = await rejected("colours", mine)
        assert too_fast.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        pushback = dict(too_fast.trailing_metadata())["grpc-retry-pushback-ms"]
        assert 90_000 <= int(pushback) <= 100_000
        assert (await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")) == b"\x08\x01"
    await server.stop(0)
    text = (await client.get("/metrics")).text
    assert '{code="OK",model="colours",protocol="grpc",version=""} 1.0' in text
    assert '{code="PERMISSION_DENIED",model="",protocol="grpc",version=""} 1.0' in text


@pytest.mark.shows("KERASERVE_KEYS_FILE")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[keys]]\nname = 'a'", "keys.0.id"),
        ("[[keys]]\nname = 'a'\nid = 'xyz'\nsha256 = '0'", "keys.0.id"),
        ("keys = 3", "keys"),
        ("other = 3", "other"),
        ("not toml", "keys.toml"),
        (keys.make("a")[1] + "requests_per_second = 0\n", "requests_per_second"),
    ],
)
def test_a_file_that_can_not_be_parsed_is_one_sentence_at_the_start(
    capsys, file: Path, content: str, says: str
) -> None:
    file.write_text(content)
    assert cli.main([f"--keys-file={file}"]) == 2
    written = capsys.readouterr().err
    assert says in written
    assert written.count("\n") == 1
    assert cli.main(["--keys-file=/does/not/exist"]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.shows("keraserve-gateway key NAME")
def test_the_command_makes_a_key(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    flags = ["key", 'the "shop"', "--models=a,b", "--requests-per-second=2.5"]
    assert cli.main(flags) == 0
    shown = capsys.readouterr()
    file.write_text(shown.out)
    key = shown.err.split()[-1]
    assert key not in shown.out
    (entry,) = keys.read(file).values()
    assert (entry.name, entry.models, entry.requests_per_second) == ('the "shop"', {"a", "b"}, 2.5)
    assert keys.Keys(file, 1).check(key) == entry
    assert Settings(keys_file=file).keys_file == file
    assert cli.main(["key", "x", "--requests-per-second=-1"]) == 2
    assert "requests_per_second" in capsys.readouterr().err
