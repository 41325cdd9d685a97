"""The offer of another protocol, as by Java's HttpClient and `curl --http2`, is ignored."""

import json

import pytest
from system.faults.product import Product, talk

HEAD = b"POST /v1/models/colours:predict HTTP/1.1\r\nHost: x\r\n"
RED = json.dumps({"instances": [[[[230, 20, 20]]]]}).encode()
INSIDE = b"GET /v1/models/inside HTTP/1.1\r\nHost: x\r\n\r\n"  # a body that looks like a request
LAST = b"GET /v1/models/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("later", [False, True], ids=["in one packet", "body later"])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("port", ["port", "rest_port"], ids=["gateway", "embedded"])
def test_an_offer_of_another_protocol_is_ignored(
    product: Product, port: str, protocol: bytes, later: bool
) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\nUpgrade: " + protocol + b"\r\n"
    for body, expected in ((RED, b"200"), (INSIDE, b"400")):
        head = HEAD + offer + b"Content-Length: %d\r\n\r\n" % len(body)
        pieces = (head, body, LAST) if later else (head + body + LAST,)
        responses = talk(getattr(product, port), *pieces).split(b"HTTP/1.1 ")[1:]
        assert [one[:3] for one in responses] == [expected, b"404"]
        first, last = (json.loads(one.partition(b"\r\n\r\n")[2]) for one in responses)
        if body == RED:
            assert first["predictions"][0]["label"] == "red"
        assert "last" in str(last)
