"""HTTP connections on uvicorn's internals: before there is an ASGI request, and after its response.

| module | mechanism | what it gives |
|---|---|---|
| `connection` | limits on a head: bytes, seconds, pipelined requests | uvicorn has none |
| `connection` | cancels the call of a client that closes | no model runs for an absent client |
| `connection` | an idle timer that stays while requests come | a timer for each: a tenth of a rejection |
| `open_connections` | closes the longest idle one for a new one | idle connections block no client |
| `open_connections` | aborts those not read for `unread_seconds` | responses do not stay in memory |
| `rejection` | 429 before there is an ASGI request | 73 in place of 280 microseconds for each |
| `early_responses` | renders what these two send | the form of the application's responses |

The figures are from `docs/decisions/0007-performance.md`. `tests/contract/test_private_names.py` lists what
is used of uvicorn beyond its documentation; `pyproject.toml` has the range of versions that was tested.
"""
