"""Headers that we read: whatever is in them, it is refused or passed over, and never repeated."""

from functools import partial

import pytest
from target import Target

pytestmark = pytest.mark.slow

ODD = [
    b"",
    b" ",
    b"\xff\xfe\x00"[:2],
    "日本".encode(),
    b"\xc3\x28",
    b"a" * 20_000,
    b"-1",
    b"0",
    b"1e308",
    b"NaN",
    b"9" * 5000,
    "١٢٣".encode(),
    "²".encode("latin-1"),
    b"null",
    b"[]",
    b"{}",
    b"<script>alert(1)</script>",
    b"../../../etc",
    b"%0d%0aset-cookie: a=b",
    b"a\tb",
    b"' OR 1=1 --",
    b"${jndi:ldap://x}",
    b";" * 5000,
    b"," * 5000,
    b"=" * 5000,
    b"a=b=c;d=e,f",
]
REHEARSED = [
    b"cost-docs=down",
    b"cost-docs=slow:999999999999",
    b"cost-docs=slow:-1",
    b"cost-docs=slow:1e308",
    b"cost-docs=slow:NaN",
    b"cost-docs=error:NaN",
    b"cost-docs=error:1e-999",
    b"cost-docs=hang",
    b"cost-docs=garbage",
    b"all=down",
    b"nobody=down",
    b"cost-docs",
    b"=",
    b"cost-docs=after:after:after:hang",
    b",".join([b"cost-docs=down"] * 1500),
]
HEADERS = [
    "x-request-id",
    "x-request-budget",
    "x-rehearse",
    "x-upstreams",
    "x-cost",
    "x-api-key",
    "accept",
    "accept-encoding",
    "content-type",
    "content-encoding",
    "authorization",
    "origin",
    "host",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "cookie",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "baggage",
    "range",
    "if-none-match",
    "connection",
    "te",
]


@pytest.mark.parametrize("name", HEADERS)
async def test_header(target: Target, name: str):
    """Of every header that something here reads, whatever may stand in it."""
    usual = {
        "host": b"bff",
        "authorization": b"Bearer " + target.token.encode(),
        "content-type": b"application/json",
        "connection": b"close",
    }

    async def send(value: bytes) -> None:
        body = b'{"query":"{ dashboard { claimMetrics { totalCount } } }"}'
        headers = usual | {"content-length": str(len(body)).encode(), name: value}
        lines = b"".join(key.encode() + b": " + each + b"\r\n" for key, each in headers.items())
        said = await target.raw(
            b"POST /graphql HTTP/1.1\r\n" + lines + b"\r\n" + body, for_s=0.3 if name == "connection" else 6
        )
        head = said.partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in head
        assert b"evil" not in head

    values = ODD + (REHEARSED if name == "x-rehearse" else [])
    await target.pressed([partial(send, value) for value in values], for_s=0)

    assert target.statuses <= {0, 200, 400, 401, 403, 406, 415, 431}


async def test_a_request_id_is_a_word_or_none(target: Target):
    """What is echoed must not end a line of a log or of a head."""
    for value in (b"a\rb", b"a b", b"a\x0bb", "é".encode(), b"a" * 65, b"{}", b"a\r\n b"):
        said = await target.raw(
            b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-request-id: " + value + b"\r\n\r\n"
        )
        assert value not in said or b"HTTP/1.1 400" in said


async def test_a_slash_too_many_leads_nowhere_else(target: Target):
    """A redirect is made of the Host that the request names: it must not send anybody there."""
    for path in (
        b"/graphql/",
        b"/health/",
        b"/api/recoveries/",
        b"//evil.example/graphql",
        b"/\\evil.example",
    ):
        said = await target.raw(
            b"GET " + path + b" HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
        )
        assert b"\r\nlocation:" not in said.lower(), path
