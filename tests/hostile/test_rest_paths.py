"""The REST routes: paths that mean something else to somebody, and values of every kind in each place."""

import json
from functools import partial
from urllib.parse import quote

import pytest
from target import Target

from bff.rest.row import Row
from bff.rest.table import TABLE

pytestmark = pytest.mark.slow

JSON = b"content-type: application/json\r\n"
SEGMENTS = [
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%252e%252e%252f",
    "%2f",
    "%5c..%5c",
    "%00",
    "a%00b",
    "%c0%ae%c0%ae%c0%af",
    "%ff%fe",
    "%u002e",
    "%",
    "%zz",
    "x" * 20_000,
    "%e2%80%ae",
    "%f0%9f%92%a9",
    "%0d%0aset-cookie:a=b",
    "..;/",
    ";a=b",
    "%3b",
    "{id}",
    "*",
    "null",
    "undefined",
    "-1",
    "1e308",
    "9" * 400,
    "' OR 1=1--".replace(" ", "%20"),
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-4000-8000-000000000000%2f..",
    "00000000-0000-4000-8000-000000000000%0a",
    "00000000-0000-4000-8000-00000000000%d9%a0",
    "Q2xhaW06Li4vLi4v",
    "U3luYzpzeW5jLS4uLy4u",
]
VALUES = [
    "",
    "0",
    "-1",
    "1e308",
    "9" * 400,
    "NaN",
    "\x00",
    "\u202e",
    "é" * 3000,
    "[]",
    "{}",
    "null",
    "٣",
    "²",
    "a\r\nb",
]
BODIES: list[object] = [
    None,
    [],
    {},
    "x",
    5,
    1e308,
    -0.0,
    [[]] * 100,
    {"a": "b"},
    True,
    "\x00",
    "\ud800",
    "x" * 100_000,
]


async def ask(target: Target, row: Row, path: str, more: bytes = b"", body: bytes = b"") -> None:
    head = (
        f"{row.method} {path} HTTP/1.1\r\nhost: bff\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    )
    token = f"authorization: Bearer {target.token}\r\n"
    await target.raw(head.encode() + token.encode() + JSON + more + b"\r\n" + body, for_s=8)


def filled(row: Row, segment: str) -> str:
    return row.path.replace("{id}", segment).replace("{service_name}", segment)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
async def test_row(target: Target, row: Row):
    """Each place of each route where a client may say something."""
    attempts = []
    if "{" in row.path:
        attempts += [partial(ask, target, row, filled(row, segment)) for segment in SEGMENTS]
        attempts += [
            partial(ask, target, row, filled(row, segment).replace("/", "//")) for segment in SEGMENTS[:3]
        ]
    good = filled(row, "00000000-0000-4000-8000-000000000000")
    names = {"nothing", *(source.name for source in row.sources if source.place == "query")}
    attempts += [
        partial(ask, target, row, f"{good}?{name}={quote(value, safe='')}")
        for name in names
        for value in VALUES
    ]
    attempts += [partial(ask, target, row, f"{good}?{name}=%ff&{name}=1&{name}[]=2") for name in names]
    attempts.append(partial(ask, target, row, good + "?" + "&".join(f"a{n}=1" for n in range(4000))))
    if row.method == "POST":
        key = b"idempotency-key: 00000000-0000-4000-8000-00000000000a\r\n"
        fields = ["nothing", *(source.name for source in row.sources if source.place == "body")]
        bodies = [json.dumps(each).encode() for each in BODIES]
        bodies += [json.dumps({name: value}).encode() for name in fields for value in BODIES]
        bodies += [b"[" * 50_000, b"\xff", b'{"a":' * 900 + b"1" + b"}" * 900]
        attempts += [partial(ask, target, row, good, key, body) for body in bodies]
        attempts += [
            partial(ask, target, row, good, b"idempotency-key: " + value + b"\r\n")
            for value in (b"", b"x", b"0" * 36, b"\xff", "٣".encode(), b"a" * 20_000)
        ]
    await target.pressed(attempts, for_s=0)

    assert target.statuses <= {200, 202, 400, 401, 404, 405, 409, 413, 422, 429, 431}
    assert target.tried >= len(attempts)
