"""Bodies that are no operation: refused in words of ours, before they cost anything."""

import gzip
import hashlib
import json
import zlib
from functools import partial

import pytest
from target import Target

pytestmark = pytest.mark.slow

JSON = {"content-type": "application/json"}
PING = b'{"query":"{ viewer { userId } }"'
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "half a text": b'{"query":"',
    "not UTF-8": b'{"query":"\xff\xfe"}',
    "UTF-16": '{"query":"{ viewer { userId } }"}'.encode("utf-16"),
    "overlong UTF-8": b'{"query":"\xc0\xaf"}',
    "half a character": b'{"query":"\\ud800"}',
    "NUL": b'{"query":"\\u0000"}',
    "a mark of byte order": b"\xef\xbb\xbf" + PING + b"}",
    "NaN": b'{"query":"{__typename}","variables":{"a":NaN}}',
    "lists 100,000 deep": b"[" * 100_000,
    "lists 1000 deep": b'{"query":"{__typename}","variables":{"a":' + b"[" * 1000 + b"]" * 1000 + b"}}",
    "objects 100,000 deep": b'{"a":' * 40_000,
    "objects 1000 deep": b'{"query":"{__typename}","variables":' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
    "a number of 200,000 digits": b'{"query":"{__typename}","variables":{"a":' + b"9" * 200_000 + b"}}",
    "1e999": b'{"query":"{__typename}","variables":{"a":1e999}}',
    "the same name 20,000 times": PING + b',"query":"x"' * 20_000 + b"}",
    "20,000 names": PING + b"".join(b',"a%d":1' % n for n in range(20_000)) + b"}",
    "20,000 variables": PING + b',"variables":{' + b",".join(b'"a%d":1' % n for n in range(20_000)) + b"}}",
    "a batch": b"[" + PING + b"}]",
    "a batch of 5000": b"[" + b",".join([PING + b"}"] * 5000) + b"]",
    "wrong kinds": b'{"query":[],"variables":"x","operationName":{},"extensions":5}',
    "null": b"null",
    "a name of 200,000 letters": PING + b',"operationName":"' + b"x" * 200_000 + b'"}',
    "five megabytes": PING + b',"x":"' + b"x" * 5_000_000 + b'"}',
    "a hash of everything": PING + b',"extensions":{"persistedQuery":{"version":1,"sha256Hash":"../../x"}}}',
    "a hash in another's place": PING
    + b',"extensions":{"persistedQuery":{"version":1,"sha256Hash":"'
    + b"a" * 64
    + b'"}}}',
    "a hash of 200,000 letters": b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"'
    + b"a" * 200_000
    + b'"}}}',
    "a hash that is a list": b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":[[]]}}}',
    "a version of 1e308": b'{"extensions":{"persistedQuery":{"version":1e308,"sha256Hash":"a"}}}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_body(target: Target, name: str):
    """Whatever is in a body, its sender learns what is wrong, and nothing of us."""
    await target.pressed(
        [partial(target.send, "POST", "/graphql", content=BODIES[name], headers=target.headers | JSON)],
        for_s=0.4,
    )

    assert target.statuses <= {200, 400, 413, 415}


BOMB = gzip.compress(b" " * 50_000_000, 9)
ENCODINGS: dict[str, tuple[dict[str, str], bytes]] = {
    "a bomb": ({"content-encoding": "gzip"}, BOMB),
    "a bomb in a bomb": ({"content-encoding": "gzip, gzip"}, gzip.compress(BOMB)),
    "a bomb that is not called one": ({}, BOMB),
    "deflate": ({"content-encoding": "deflate"}, zlib.compress(PING)),
    "br": ({"content-encoding": "br"}, b"\x00" * 1000),
    "nonsense": ({"content-encoding": "\xff" * 100}, PING + b"}"),
    "a character set": ({"content-type": "application/json; charset=utf-7"}, PING + b"}"),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, b"query={__typename}&" * 10_000),
    "text": ({"content-type": "text/plain"}, PING + b"}"),
    "no type": ({"content-type": ""}, PING + b"}"),
    "a type of 20,000 letters": ({"content-type": "application/json;" + "a=b;" * 5000}, PING + b"}"),
    "a file": (
        {"content-type": "multipart/form-data; boundary=x"},
        b'--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n{}\r\n--x--',
    ),
    "a part without an end": (
        {"content-type": "multipart/form-data; boundary=x"},
        b"--x\r\n" + b"a: b\r\n" * 30_000,
    ),
    "a boundary of 8000 letters": (
        {"content-type": f"multipart/form-data; boundary={'x' * 8000}"},
        b"--" + b"x" * 8000,
    ),
    "a file map": (
        {"content-type": "multipart/form-data; boundary=x"},
        b"".join(
            b'--x\r\ncontent-disposition: form-data; name="%d"; filename="../../%d"\r\n\r\nx\r\n' % (n, n)
            for n in range(2000)
        )
        + b"--x--",
    ),
}


@pytest.mark.parametrize("name", ENCODINGS)
async def test_encoding(target: Target, name: str):
    """Fifty kilobytes that are fifty megabytes must never be unpacked."""
    more, content = ENCODINGS[name]
    headers = {name: value.encode("latin-1") for name, value in (target.headers | JSON | more).items()}
    await target.pressed(
        [partial(target.send, "POST", "/graphql", content=content, headers=headers)], for_s=0.4
    )

    assert target.statuses <= {200, 400, 413, 415}


async def test_persisted_documents_are_nobodys_to_poison(target: Target):
    """A document is kept under its own hash alone; thousands of them push out old ones, and nothing else."""
    ping = "{ viewer { userId } }"
    count = iter(range(10**9))

    def extension(hash_: str) -> dict[str, object]:
        return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_}}}

    async def poison() -> None:
        body = {"query": f"{{ viewer {{ email }} }} #{next(count)}"} | extension("a" * 64)
        response = await target.send("POST", "/graphql", json=body)
        assert response is not None
        assert response.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_HASH_MISMATCH"

    async def flood() -> None:
        document = f"{ping} #{next(count)}{'x' * 30_000}"
        await target.send(
            "POST",
            "/graphql",
            json={"query": document} | extension(hashlib.sha256(document.encode()).hexdigest()),
        )

    await target.pressed([poison, flood], for_s=2)
    found = await target.send("POST", "/graphql", json=extension("a" * 64))

    assert found is not None
    assert json.loads(found.text)["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
