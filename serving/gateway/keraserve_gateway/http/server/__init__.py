"""What leans on uvicorn's inside: a connection, before there is an ASGI request and after its response.

| module | mechanism | what it gives |
|---|---|---|
| `connection` | limits on a head: bytes, seconds, pipelined requests | uvicorn has none |
| `connection` | a client that closes ends its call | no model works for nobody |
| `connection` | an idle timer that stays while requests come | a timer for each: a tenth of a rejection |
| `open_connections` | a new one takes the place of the longest idle | idle connections keep nobody out |
| `open_connections` | who reads nothing for `unread_seconds` is cut off | responses do not stay in memory |
| `rejection` | 429 before there is an ASGI request | 73 in place of 280 microseconds for each |
| `early_responses` | writes what `connection` and `rejection` respond | the form of the application's own |
| `coalesced_write` | head and first of the body in one system call | one call and one wake-up less |

The figures are from `docs/decisions/0007-performance.md`. `tests/contract/test_private_names.py` lists what
is used of uvicorn beyond its documentation; `pyproject.toml` has the range of versions that was tried.
"""
