"""The memory link: what is repeated, what is asked once for many, and what is given when the owner cannot."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
import time_machine
from late import WITHIN_S
from pydantic import TypeAdapter

from clients.caller import Freshest
from clients.errors import ContractBroken, UpstreamError, UpstreamFailed, UpstreamRejected, UpstreamTimeout

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
ENGINE, COST_DOCS = "refund-engine", "cost-docs"
CLAIMS = {"data": [], "pagination": {"total": 7}}
DOCUMENTS = {"data": {"documents": [], "total": 3}}
TRANSACTIONS = {"data": {"transactions": [], "pagination": {"total": 2}}}


def state(caller, service):
    return caller.uses[service].state


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def claims(directory):
    """Ask for the first page of a caller's claims: kept for ten minutes, repeated only in an outage."""
    return lambda caller: directory.clients_for(caller).refund_engine.claims_page(limit=1)


@pytest.fixture
def documents(directory):
    """Ask for a claim's files: repeated for a minute."""
    return lambda caller: directory.clients_for(caller).cost_docs.documents_of_claim("claim-1")


class Held:
    """An upstream that answers when the test lets it."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.asked = self.left = 0
        self.go = asyncio.Event()

    async def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def asked_for(self, times: int = 1) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.asked < times:  # noqa: ASYNC110 - the link tells nobody
                await asyncio.sleep(0.001)


@pytest.fixture
def held(respx_router):
    """The refund engine, whose answers are held back."""
    held = Held(httpx.Response(200, json=CLAIMS))
    respx_router.get(host="refund-engine.test").mock(side_effect=held)
    return held


async def test_a_fresh_answer_is_repeated_to_its_viewer_alone(
    clock, documents, caller_for, respx_router, ann, bob
):
    """A claim's files cost a call each: a minute's peace, but never with another seller's files."""
    route = respx_router.get(host="cost-docs.test").respond(json=DOCUMENTS)
    first = await documents(caller_for(ann))
    clock.shift(59)
    anns, bobs = caller_for(ann), caller_for(bob)

    repeated, others = await documents(anns), await documents(bobs)

    assert (repeated.total, repeated.as_of) == (3, first.as_of) == (3, NOON)
    assert (state(anns, COST_DOCS), anns.uses[COST_DOCS].attempts) == (Freshest.CACHED, 0)
    assert (others.as_of, state(bobs, COST_DOCS)) == (NOON + timedelta(seconds=59), Freshest.LIVE)
    assert route.call_count == 2


async def test_what_is_no_longer_fresh_is_asked_again(clock, documents, caller_for, respx_router, ann):
    """A file that was added a minute ago must show."""
    route = respx_router.get(host="cost-docs.test").respond(json=DOCUMENTS)
    await documents(caller_for(ann))
    clock.shift(60)

    answer = await documents(caller_for(ann))

    assert (answer.as_of, route.call_count) == (NOON + timedelta(seconds=60), 2)


async def test_what_a_clock_that_was_set_back_calls_future_is_asked_again(
    clock, documents, caller_for, respx_router, ann, bob
):
    """Else "a minute" would last for an hour and a minute, for everybody whose files were kept."""
    route = respx_router.get(host="cost-docs.test").respond(json=DOCUMENTS)
    for viewer in (ann, bob):
        await documents(caller_for(viewer))
    clock.shift(-3600)
    callers = [caller_for(viewer) for viewer in (ann, bob, ann, bob)]

    answers = [await documents(caller) for caller in callers]

    assert {answer.as_of for answer in answers} == {NOON - timedelta(hours=1)}
    assert [state(caller, COST_DOCS) for caller in callers] == [Freshest.LIVE] * 2 + [Freshest.CACHED] * 2
    assert route.call_count == 4


async def test_who_wants_news_is_given_nothing_kept(
    clock, claims, documents, caller_for, respx_router, ann, bob
):
    """A poll that is answered from memory sees no change, and takes an outage for peace."""
    files = respx_router.get(host="cost-docs.test").respond(json=DOCUMENTS)
    respx_router.get(host="refund-engine.test").respond(json=CLAIMS)
    for seller in (ann, bob):
        await documents(caller_for(seller))
        await claims(caller_for(seller))
    clock.shift(10)
    watching = replace(caller_for(ann), wants_news=True)

    news = await documents(watching)
    respx_router.get(host="refund-engine.test").respond(503)
    with pytest.raises(UpstreamError):
        await claims(watching)
    anns, bobs = await documents(caller_for(ann)), await documents(caller_for(bob))
    old = await claims(caller_for(ann))

    assert files.call_count == 3
    assert news.as_of == anns.as_of == NOON + timedelta(seconds=10)  # what was asked is kept for the viewer
    assert bobs.as_of == NOON
    assert (old.as_of, old.stale) == (NOON, True)


async def test_another_question_is_another_answer(directory, caller_for, respx_router, ann):
    """The second page must not be the first one again."""
    route = respx_router.get(host="cost-docs.test").respond(json=DOCUMENTS)
    cost_docs = directory.clients_for(caller_for(ann)).cost_docs

    await cost_docs.documents_of_claim("claim-1", page=1)
    await cost_docs.documents_of_claim("claim-1", page=2)
    await cost_docs.documents_of_claim("claim-2", page=1)

    assert route.call_count == 3


CANNOT = {
    "refused": httpx.ConnectError("refused"),
    "500": httpx.Response(500),
    "503": httpx.Response(503),
    "429": httpx.Response(429),
    "401": httpx.Response(401),
    "garbage": httpx.Response(200, html="<html>It works!</html>"),
}


@pytest.mark.parametrize("failure", CANNOT.values(), ids=CANNOT.keys())
async def test_stale_beats_nothing_and_says_so(
    clock, claims, caller_for, respx_router, outcomes, ann, bob, failure
):
    """Ten minutes ago is better than nothing, if it says so and is the viewer's own."""
    route = respx_router.get(host="refund-engine.test").respond(json=CLAIMS)
    await claims(caller_for(ann))
    route.mock(side_effect=failure if isinstance(failure, Exception) else [failure] * 9)
    clock.shift(599)
    anns, bobs = caller_for(ann), caller_for(bob)

    answer = await claims(anns)
    with pytest.raises(UpstreamError):
        await claims(bobs)

    assert (answer.total, answer.as_of) == (7, NOON)
    assert (state(anns, ENGINE), state(bobs, ENGINE)) == (Freshest.STALE, Freshest.MISSING)
    assert [outcome.error is None for outcome in outcomes] == [True, False, False]  # the outage still shows

    clock.shift(2)
    with pytest.raises(UpstreamError):
        await claims(caller_for(ann))


async def test_a_hanging_owner_is_answered_by_the_stale_entry_in_time(claims, caller_for, held, ann):
    """Half of the time is waited where an old answer is at hand: who is asked next needs the rest."""
    held.go.set()
    await claims(caller_for(ann))
    held.go.clear()
    anns = caller_for(ann, budget_s=2.05)  # two seconds, and the reserve

    answer = await claims(anns)

    assert (answer.total, state(anns, ENGINE)) == (7, Freshest.STALE)
    assert 0.5 < anns.deadline.remaining_s() < 1.1


async def test_the_owners_new_answer_replaces_the_old(clock, claims, caller_for, respx_router, ann):
    """Stale is for the outage: afterwards, and in the next outage, the latest answer counts."""
    route = respx_router.get(host="refund-engine.test").respond(json=CLAIMS)
    await claims(caller_for(ann))
    clock.shift(300)
    route.respond(json=CLAIMS | {"pagination": {"total": 8}})
    live = await claims(caller_for(ann))
    route.respond(500)
    clock.shift(599)

    stale = await claims(caller_for(ann))

    assert (live.total, live.as_of) == (stale.total, stale.as_of) == (8, NOON + timedelta(seconds=300))


async def test_garbage_is_never_kept(claims, caller_for, respx_router, ann):
    """Else one broken answer would be shown for the ten minutes after it."""
    route = respx_router.get(host="refund-engine.test").respond(html="<html></html>")
    with pytest.raises(ContractBroken):
        await claims(caller_for(ann))
    route.respond(500)

    with pytest.raises(UpstreamFailed):
        await claims(caller_for(ann))


async def test_none_is_not_kept(directory, caller_for, respx_router, ann):
    """A claim that is not there now may be there in a second: "none" is asked for each time."""
    route = respx_router.get(host="refund-engine.test").respond(404, json={"error": "Claim not found"})
    caller = caller_for(ann)
    engine = directory.clients_for(caller).refund_engine

    assert [await engine.claim_by_case_number("C-1") for _ in range(2)] == [None, None]

    assert (route.call_count, state(caller, ENGINE)) == (2, Freshest.LIVE)
    route.respond(500)
    with pytest.raises(UpstreamFailed):
        await engine.claim_by_case_number("C-1")


async def test_what_is_gone_does_not_come_back(directory, caller_for, respx_router, captured, ann, bob):
    """A claim that was deleted must not rise again in the next outage, for the one who was told."""
    route = respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "046"))
    anns, bobs = (directory.clients_for(caller_for(viewer)).refund_engine for viewer in (ann, bob))
    assert await anns.claim_by_case_number("C-1")
    assert await bobs.claim_by_case_number("C-1")
    route.respond(404, json=captured("refund-engine", "047"))
    assert await anns.claim_by_case_number("C-1") is None
    route.respond(500)

    with pytest.raises(UpstreamFailed):
        await anns.claim_by_case_number("C-1")
    assert await bobs.claim_by_case_number("C-1")


SOMEBODY_ELSES = {
    "404": httpx.Response(404),
    "404 of a proxy": httpx.Response(404, html="<h1>no backend</h1>"),
    "404 of a router": httpx.Response(404, json={"error": "Not Found", "message": "Route /api not found"}),
    "404 of an edge": httpx.Response(404, json={"message": "Application not found"}),
    "302 to a maintenance page": httpx.Response(302, headers={"location": "https://maintenance.test/"}),
    "307": httpx.Response(307, headers={"location": "https://maintenance.test/"}, text="<html></html>"),
    **{str(status): httpx.Response(status, json={"message": "?"}) for status in (408, 421, 425)},
    **{f"{status} without a word": httpx.Response(status, html="<html></html>") for status in (400, 413)},
}


@pytest.mark.parametrize("answer", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES.keys())
async def test_what_stands_before_the_owner_is_answered_by_the_stale_entry(
    clock, claims, caller_for, respx_router, ann, bob, answer
):
    """A proxy that has lost its backend is an outage like any other, and takes nothing from the next one."""
    route = respx_router.get(host="refund-engine.test").respond(json=CLAIMS)
    await claims(caller_for(ann))
    route.mock(return_value=answer)
    clock.shift(1)
    anns, bobs = caller_for(ann), caller_for(bob)

    assert (await claims(anns)).as_of == NOON
    with pytest.raises(UpstreamError):
        await claims(bobs)
    assert (state(anns, ENGINE), state(bobs, ENGINE)) == (Freshest.STALE, Freshest.MISSING)

    route.respond(503)
    assert (await claims(caller_for(ann))).as_of == NOON


async def test_a_no_in_words_is_shown_and_takes_nothing(claims, caller_for, respx_router, ann):
    """The owner was reached and said no: that is shown. What is kept waits for an outage."""
    route = respx_router.get(host="refund-engine.test").respond(json=CLAIMS)
    await claims(caller_for(ann))
    route.respond(400, json={"error": "Search query required"})
    with pytest.raises(UpstreamRejected):
        await claims(caller_for(ann))
    route.respond(503)

    assert (await claims(caller_for(ann))).stale


async def test_what_another_version_kept_is_no_answer(make_upstream, caller_for, respx_router, ann):
    """After a deployment the shared shelf holds what the old version understood: it must not break us."""
    upstream, old, new = make_upstream(), TypeAdapter(dict[str, int]), TypeAdapter(list[int])

    async def ask(shape):
        caller = caller_for(ann)
        answer = await upstream.call(caller, "documentStats", "GET", "/stats", shape)
        return answer.value, state(caller, ENGINE)

    route = respx_router.get("https://refund-engine.test/stats").respond(json={"files": 3})
    assert [await ask(old), await ask(old)] == [
        ({"files": 3}, Freshest.LIVE),
        ({"files": 3}, Freshest.CACHED),
    ]
    route.respond(json=[3])

    assert await ask(new) == ([3], Freshest.LIVE)
    route.respond(503)
    with pytest.raises(UpstreamError) as raised:
        await ask(old)
    assert raised.value.code == "SERVICE_UNAVAILABLE"


async def test_signed_links_are_never_kept(directory, caller_for, respx_router, captured, ann):
    """A link is a key to the file, and ends in minutes: each answer has its own, or none."""
    body = captured("cost-docs", "060")
    route = respx_router.get(host="cost-docs.test").respond(json=body)
    cost_docs = directory.clients_for(caller_for(ann)).cost_docs
    document_id = body["data"]["id"]

    await cost_docs.document(document_id)
    await cost_docs.document(document_id)
    assert route.call_count == 2

    route.respond(503)
    with pytest.raises(UpstreamError):
        await cost_docs.document(document_id)


async def test_money_that_was_moved_is_never_stale(directory, caller_for, respx_router, ann):
    """An old sum looks like a true one."""
    stripe_route = respx_router.get(host="stripe.test").respond(json=TRANSACTIONS)
    engine_route = respx_router.get(host="refund-engine.test").respond(json=CLAIMS)
    clients = directory.clients_for(caller_for(ann))
    asks = (
        lambda: clients.stripe.transactions_page(limit=1),
        lambda: clients.refund_engine.ledger_page(limit=1),
    )
    for ask in asks:
        await ask()
    stripe_route.respond(503)
    engine_route.respond(503)

    for ask in asks:
        with pytest.raises(UpstreamError):
            await ask()


# Asked once for many


async def test_one_request_for_many(claims, caller_for, held, ann, bob):
    """Fifty tabs of one seller are one request; the other seller's fifty are another."""
    anns, bobs = [caller_for(ann) for _ in range(50)], [caller_for(bob) for _ in range(50)]
    asking = [asyncio.create_task(claims(caller)) for caller in (*anns, *bobs)]
    await held.asked_for(2)
    held.go.set()

    pages = await asyncio.gather(*asking)

    assert [page.total for page in pages] == [7] * 100
    assert held.asked == 2
    for callers in (anns, bobs):
        assert sum(caller.uses[ENGINE].attempts for caller in callers) == 1
        assert {(caller.uses[ENGINE].calls, state(caller, ENGINE)) for caller in callers} == {
            (1, Freshest.LIVE)
        }


async def test_two_viewers_on_their_way_at_once_get_their_own(claims, caller_for, respx_router, ann, bob):
    """What is in flight is as private as what is kept."""

    async def by_token(request):
        await asyncio.sleep(0.01)
        token = request.headers["authorization"].removeprefix("Bearer ")
        whose = jwt.decode(token, options={"verify_signature": False})["id"]
        return httpx.Response(200, json={"data": [], "pagination": {"total": totals[whose]}})

    totals = {ann.user_id: 1, bob.user_id: 2}
    respx_router.get(host="refund-engine.test").mock(side_effect=by_token)

    pages = await asyncio.gather(*(claims(caller_for(who)) for who in (ann, bob, ann, bob)))

    assert [page.total for page in pages] == [1, 2, 1, 2]


async def test_a_failing_flight_fails_all_its_waiters_once(claims, caller_for, held, outcomes, ann):
    """One failure is one failure: not fifty for the monitor, and not one for whoever asks next."""
    held.answers = [httpx.Response(501)]
    asking = [asyncio.create_task(claims(caller_for(ann))) for _ in range(50)]
    await held.asked_for()
    held.go.set()

    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(failure) for failure in failures} == {UpstreamFailed}
    assert (held.asked, len(outcomes)) == (1, 1)

    held.answers = [httpx.Response(200, json=CLAIMS)]
    assert (await claims(caller_for(ann))).total == 7
    assert held.asked == 2


async def test_the_first_to_ask_may_leave(claims, caller_for, held, ann):
    """Whoever asked first is nobody special: the others wait for the same request."""
    first = asyncio.create_task(claims(caller_for(ann)))
    await held.asked_for()
    others = [asyncio.create_task(claims(caller_for(ann))) for _ in range(3)]
    await asyncio.sleep(0)

    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    held.go.set()

    assert [page.total for page in await asyncio.gather(*others)] == [7, 7, 7]
    assert (first.cancelled(), held.asked, held.left) == (True, 1, 0)


async def test_when_all_have_left_so_does_the_request(claims, caller_for, held, outcomes, ann):
    """A request that nobody waits for costs work; and whoever comes then is not cancelled with it."""
    asking = [asyncio.create_task(claims(caller_for(ann))) for _ in range(3)]
    await held.asked_for()

    for task in asking:
        task.cancel()
    newcomer = asyncio.create_task(claims(caller_for(ann)))
    await asyncio.gather(*asking, return_exceptions=True)
    await held.asked_for(2)
    held.go.set()

    assert (await newcomer).total == 7
    assert (held.asked, held.left) == (2, 1)
    assert [outcome.error for outcome in outcomes] == [None]


async def test_a_short_deadline_is_its_callers_alone(claims, caller_for, held, ann):
    """A client in a hurry is told in time; the screen beside it, with ten seconds, gets its answer."""
    hasty = asyncio.create_task(claims(caller_for(ann, budget_s=1.5)))
    await held.asked_for()
    patient = asyncio.create_task(claims(caller_for(ann)))

    with pytest.raises(UpstreamTimeout):
        await hasty
    held.go.set()

    assert ((await patient).total, held.asked, held.left) == (7, 1, 0)


async def test_a_short_deadline_takes_no_second_attempt_from_the_others(claims, caller_for, held, ann):
    """The one who asked first has no time for it, but the one who waits with them has."""
    held.answers = [httpx.Response(503), httpx.Response(200, json=CLAIMS)]
    hasty = asyncio.create_task(claims(caller_for(ann, budget_s=1.5)))
    await held.asked_for()
    patient = asyncio.create_task(claims(caller_for(ann)))
    await asyncio.sleep(0)
    held.go.set()

    assert (await patient).total == 7
    assert held.asked == 2
    with contextlib.suppress(UpstreamTimeout):  # or it was lucky
        await hasty


async def test_nobody_is_left_with_an_unseen_error(claims, caller_for, held, ann):
    """A failure after the last one left is no news: it must not land in the log as a forgotten task."""
    unseen = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
    held.answers = [httpx.Response(501)]
    hasty = asyncio.create_task(claims(caller_for(ann, budget_s=1.5)))
    await held.asked_for()
    patient = asyncio.create_task(claims(caller_for(ann)))
    with pytest.raises(UpstreamTimeout):
        await hasty
    held.go.set()
    with pytest.raises(UpstreamFailed):
        await patient
    del hasty, patient

    await asyncio.sleep(0.01)
    assert unseen == []


# Rehearsed


async def test_a_rehearsal_shares_with_nobody(claims, caller_for, held, ann):
    """The other tab of the same seller must not see an outage that is only played."""
    live = asyncio.create_task(claims(caller_for(ann)))
    await held.asked_for()
    played = asyncio.create_task(claims(caller_for(ann, rehearsed="refund-engine=slow:1")))
    await held.asked_for(2)
    with pytest.raises(UpstreamFailed):
        await claims(caller_for(ann, rehearsed="refund-engine=error"))
    held.go.set()

    assert ((await live).total, (await played).total, held.asked) == (7, 7, 2)


async def test_a_rehearsal_keeps_nothing(documents, caller_for, respx_router, ann):
    """Nothing of what is only played may be repeated to anybody later."""
    route = respx_router.get(host="cost-docs.test").respond(json=DOCUMENTS)

    await documents(caller_for(ann, rehearsed="cost-docs=slow:1"))
    with pytest.raises(ContractBroken):
        await documents(caller_for(ann, rehearsed="cost-docs=garbage"))
    caller = caller_for(ann)
    await documents(caller)

    assert (route.call_count, state(caller, COST_DOCS)) == (2, Freshest.LIVE)
