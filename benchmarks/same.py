"""Whether the servers say the same: nothing is measured before they do."""

import re
import urllib.request

from benchmarks.cases import Case
from benchmarks.measure import requests_of
from benchmarks.processes import Process, Setup

# When something was received or checked, and how long that took: true of one answer only.
_OF_ONE_ANSWER = re.compile(
    rb'"(asOf|coversSince|checkedAt|lastCheckedAt|lastHealthyAt|responseTimeMs)":("[^"]*"|[0-9.]+)'
)


def body_of(server: Process, case: Case, client: int = 0) -> bytes:
    """What a server answers to a case, byte for byte but for the times of receipt."""
    head, _, body = requests_of(server.name, case)[client].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    method, target, _ = line.split(" ")
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{target}",
        data=body or None,
        headers=dict(header.split(": ", 1) for header in headers),
        method=method,
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return _OF_ONE_ANSWER.sub(rb'"\1":0', answer.read())


def differences(setup: Setup, cases: list[Case]) -> list[str]:
    """What is not the same, one line each: the bytes of an answer, or the calls that it took."""
    found = []
    for case in cases:
        answers, calls = {}, {}
        for server in setup.servers.values():
            before = setup.calls()
            answers[server.name] = body_of(server, case)
            after = setup.calls()
            calls[server.name] = {
                name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)
            }
        first, *others = answers
        for other in others:
            if answers[first] != answers[other]:
                at = _first_difference(answers[first], answers[other])
                found.append(
                    f"{case.name}: {first} …{answers[first][at - 80 : at + 80]!r}\n"
                    f"   {other} …{answers[other][at - 80 : at + 80]!r}"
                )
            if calls[first] != calls[other]:
                found.append(f"{case.name}: {first} asks {calls[first]}, {other} {calls[other]}")
    return found


def _first_difference(left: bytes, right: bytes) -> int:
    return next(
        (at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
