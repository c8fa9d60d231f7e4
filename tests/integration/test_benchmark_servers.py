"""The benchmark compares what does the same; nothing is timed here."""

import time
from dataclasses import replace

import pytest

from benchmarks.cases import cases, dashboard, growing_fields, growing_rows, recoveries
from benchmarks.names import HAND_WRITTEN
from benchmarks.processes import running
from benchmarks.same import body_of, differences
from benchmarks.servers import executors

PROBED_IN_S = 20.0  # until when each BFF must have seen every service well


@pytest.fixture(scope="module")
def setup():
    with running((*executors(), HAND_WRITTEN)) as started:
        yield started


def test_every_server_gives_the_same_bytes_for_the_same_calls(setup):
    """A ratio between servers that answer differently would say nothing, and nobody would notice."""
    held = [*cases(), *growing_rows(), *growing_fields()]
    ends_at_s = time.monotonic() + PROBED_IN_S

    while (found := differences(setup, held)) and time.monotonic() < ends_at_s:
        time.sleep(0.2)

    assert found == []


def test_a_difference_stops_a_run(setup):
    """A row less from one of them, and its cost would look like thrift."""
    one_less = replace(recoveries(), path="/recoveries?claims=99")

    found = differences(setup, [one_less])

    assert [line.split(":")[0] for line in found] == [one_less.name]


def test_every_request_makes_its_calls(setup):
    """Answers repeated from memory would make the BFF look as if services were free."""
    for server in setup.servers.values():
        made = []
        for _ in range(2):
            before = sum(setup.calls().values())
            body_of(server, dashboard())
            made.append(sum(setup.calls().values()) - before)

        assert made == [27, 27], server.name
