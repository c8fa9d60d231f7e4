"""`extensions.upstreams`: what an operation asked and got, told on request or when something is amiss."""

from datetime import datetime

import pytest
from graphql import GraphQLError

from bff.account import note_missing
from bff.sandbox.seed import SELLERS
from clients.caller import Caller, Deadline, Freshest
from clients.errors import CircuitOpen

FIRST, SECOND = SELLERS
CLAIMS = "{ claims(first: 1) { asOf nodes { id } } }"
FILES = "{ claims(first: 1) { nodes { documents { asOf totalCount } } } }"
ASKED_FOR = {"x-upstreams": "1"}


def account(answer):
    """By service: calls, attempts, state and circuit."""
    return {
        row["service"]: (row["calls"], row["attempts"], row["state"], row["circuit"])
        for row in answer.extensions["upstreams"]
    }


async def test_told_to_whoever_asks(bff):
    """Each service that was asked, in the order of every screen, with what it cost."""
    answer = await bff.ask("Dashboard", headers=ASKED_FOR)

    assert account(answer) == {
        "refund-engine": (2, 2, "LIVE", "CLOSED"),
        "integrations": (3, 3, "LIVE", "CLOSED"),
        "cost-docs": (6, 6, "LIVE", "CLOSED"),
        "stripe": (1, 1, "LIVE", "CLOSED"),
    }
    assert list(account(answer)) == ["refund-engine", "integrations", "cost-docs", "stripe"]
    rows = answer.extensions["upstreams"]
    assert {tuple(row) for row in rows} == {
        ("service", "calls", "attempts", "durationMs", "state", "circuit")
    }
    assert all(row["durationMs"] > 0 for row in rows)


async def test_nothing_is_told_when_nobody_asks_and_all_is_well(bff):
    """Most answers are whole and live: they carry nothing extra, repeated ones included."""
    answers = [await bff.ask(FILES) for _ in range(2)]

    assert [(answer.errors, answer.extensions) for answer in answers] == [([], {})] * 2


async def test_who_asks_nobody_has_an_empty_account(bff):
    """The client can tell "nobody was asked" from "not told"."""
    answer = await bff.ask("{ viewer { userId } }", headers=ASKED_FOR)

    assert (answer.errors, answer.extensions) == ([], {"upstreams": []})


async def test_what_was_repeated_says_so(bff):
    """CACHED: a question and no request; the other seller's question is a request."""
    first = await bff.ask(FILES)

    again = await bff.ask(FILES, headers=ASKED_FOR)
    others = await bff.ask(FILES, seller=SECOND, headers=ASKED_FOR)

    assert account(again)["cost-docs"] == (1, 0, "CACHED", "CLOSED")
    assert account(others)["cost-docs"] == (1, 1, "LIVE", "CLOSED")
    documents = [answer.data["claims"]["nodes"][0]["documents"] for answer in (first, again)]
    assert documents[0]["asOf"] == documents[1]["asOf"]


async def test_stale_is_told_without_being_asked_for(bff):
    """An old answer that does not say so is a lie: it keeps its `asOf`, and the extension says STALE."""
    first = await bff.ask(CLAIMS)
    bff.sandbox.down.add("refund-engine")

    stale = await bff.ask(CLAIMS)
    others = await bff.ask(CLAIMS, seller=SECOND)

    assert (stale.errors, stale.data) == ([], first.data)
    assert datetime.fromisoformat(stale.data["claims"]["asOf"]).tzinfo is not None
    assert account(stale) == {"refund-engine": (1, 2, "STALE", "CLOSED")}
    # Nothing was kept for the other seller, and the first one's is not theirs.
    assert others.data == {"claims": None}
    assert [error["extensions"]["code"] for error in others.errors] == ["SERVICE_UNAVAILABLE"]
    assert account(others) == {"refund-engine": (1, 2, "MISSING", "CLOSED")}

    bff.sandbox.down.discard("refund-engine")
    live = await bff.ask(CLAIMS)
    assert (live.errors, live.extensions) == ([], {})
    assert live.data["claims"]["asOf"] > first.data["claims"]["asOf"]


@pytest.mark.parametrize("fault", ["down", "error", "garbage", "rate-limited"])
async def test_missing_is_told_without_being_asked_for(bff, fault):
    """The worst answer is the state: four files that came do not hide the fifth that did not."""
    bff.sandbox.faults["stripe"] = fault

    answer = await bff.ask("{ claims(first: 3) { nodes { id payments { totalCount } } } }")

    assert len(answer.errors) == 3
    calls, attempts, state, _ = account(answer)["stripe"]
    assert (calls, attempts, state) == (1, 2 if fault in ("down", "error") else 1, "MISSING")
    assert account(answer)["refund-engine"] == (1, 1, "LIVE", "CLOSED")


async def test_an_open_circuit_is_told(bff):
    """Who builds a screen sees why nothing was even tried."""
    bff.sandbox.down.add("stripe")
    for _ in range(6):
        await bff.ask("PaymentMetrics")

    answer = await bff.ask("PaymentMetrics")

    assert [error["extensions"]["code"] for error in answer.errors] == ["CIRCUIT_OPEN"]
    assert answer.errors[0]["extensions"]["retryAfterMs"] > 0
    assert account(answer) == {"stripe": (1, 0, "MISSING", "OPEN")}


async def test_none_is_an_answer(bff):
    """A claim that does not exist is nobody's failure."""
    answer = await bff.ask('{ claimByCaseNumber(caseNumber: "CASE-NEVER") { id } }', headers=ASKED_FOR)

    assert (answer.errors, account(answer)) == ([], {"refund-engine": (1, 1, "LIVE", "CLOSED")})


def test_what_is_missing_is_found_behind_wrapped_errors():
    """An error may be wrapped more than once on its way: the account must name its service still."""
    caller = Caller(None, Deadline(1.0))
    inner = GraphQLError("inner", original_error=CircuitOpen("stripe", "listTransactions"))

    note_missing([GraphQLError("outer", original_error=inner)], caller)

    assert {name: use.state for name, use in caller.uses.items()} == {"stripe": Freshest.MISSING}
