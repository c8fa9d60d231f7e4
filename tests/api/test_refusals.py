"""A flood of bad requests: every one is counted, and the log stays readable."""

import itertools
import json

import pytest
import structlog
from bff_under_test import Bff
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from bff import refusals
from bff.dev_issuer import DevIssuer
from bff.refusals import AGAIN_AFTER_S, EVENTS_PER_MINUTE, SOURCES_KEPT, Refusals
from bff.sandbox.seed import SELLERS
from bff.settings.audit import DEV_SECRET
from bff.telemetry import configure_logging


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the monotonic clock; the test moves it."""
    now = [600.0]
    monkeypatch.setattr(refusals.time, "monotonic", lambda: now[0])
    return now


async def test_who_is_turned_away_at_the_door_is_counted_and_told(
    bff: Bff, capsys: pytest.CaptureFixture[str]
):
    """A thousand guesses at tokens are a line in the log and a thousand in the count."""
    scopeless = DevIssuer(SecretStr(DEV_SECRET)).token(
        user_id=SELLERS[1].user_id, email=None, name=None, stripe_user_id=None, scopes=()
    )
    configure_logging(readable=False)
    capsys.readouterr()
    try:
        for guess in range(30):
            answer = await bff.ask_with({"authorization": f"Bearer guess-{guess}"}, "{ viewer { userId } }")
            assert answer.status == 401
        for _ in range(2):
            document = "{ claims { asOf } a: claims { asOf } payments { asOf } }"
            await bff.ask_with({"authorization": f"Bearer {scopeless}"}, document)
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    finally:
        structlog.reset_defaults()

    told = [event for event in events if event["event"].endswith(".refused")]
    assert [event["event"] for event in told] == ["sign_in.refused", "scope.refused"]
    assert (told[0]["reason"], told[0]["source"]) == ("invalid", "127.0.0.1")
    assert told[1]["viewer_id"] == SELLERS[1].user_id
    assert told[1]["reason"] in ("claims:read", "payments:read")
    text = (await bff.http.get("/metrics")).text
    counted = {
        (sample.labels["kind"], sample.labels["reason"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "bff_refusals_total"
    }
    assert counted == {
        ("sign_in", "invalid"): 30,
        ("scope", "claims:read"): 2,
        ("scope", "payments:read"): 2,
    }


def from_address(host: str | None) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [], "client": (host, 1) if host else None})


def test_one_source_is_told_of_once_a_minute(clock: list[float]):
    """The count goes on: the next event says how many were kept silent."""
    counted: list[tuple[str, str]] = []
    told = Refusals(lambda kind, reason: counted.append((kind, reason)), lambda *_: None)

    with structlog.testing.capture_logs() as events:
        for _ in range(1000):
            told.sign_in(from_address("10.0.0.1"), "invalid")
        told.sign_in(from_address("10.0.0.2"), "expired")
        told.scope(from_address("10.0.0.1"), "claims:read", "viewer-1")
        clock[0] += AGAIN_AFTER_S
        told.sign_in(from_address("10.0.0.1"), "invalid")
        told.key(from_address(None), "metrics")

    assert len(counted) == 1004
    facts = [(event["event"], event["source"], event["reason"], event["untold"]) for event in events]
    assert facts == [
        ("sign_in.refused", "10.0.0.1", "invalid", 0),
        ("sign_in.refused", "10.0.0.2", "expired", 0),
        ("scope.refused", "10.0.0.1", "claims:read", 0),
        ("sign_in.refused", "10.0.0.1", "invalid", 999),
        ("key.refused", "unknown", "metrics", 0),
    ]
    assert events[2]["viewer_id"] == "viewer-1"


def test_many_sources_do_not_flood_the_log_either(clock: list[float]):
    """Addresses are cheap: a thousand a second would be a thousand lines a second, and all of our memory."""
    counted = itertools.count()
    told = Refusals(lambda *_: next(counted) and None, lambda *_: None)

    with structlog.testing.capture_logs() as events:
        for number in range(SOURCES_KEPT * 2):
            told.sign_in(from_address(f"2001:db8::{number:x}"), "invalid")
        assert len(events) == EVENTS_PER_MINUTE
        clock[0] += 60
        told.sign_in(from_address("10.0.0.1"), "invalid")

    assert len(events) == EVENTS_PER_MINUTE + 1
    assert next(counted) == SOURCES_KEPT * 2 + 1
    assert len(told._pace._told) <= SOURCES_KEPT
