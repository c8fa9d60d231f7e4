"""The write methods: what leaves, in the form each service reads, and what its answers become."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import httpx
import pytest

from clients.errors import (
    CaseNotSubmittable,
    ContractBroken,
    PaymentAccountMissing,
    PaymentsIdentityMissing,
    UpstreamAuthFailed,
    UpstreamConflict,
    UpstreamFailed,
    UpstreamRejected,
)

ID = "33333333-3333-4333-8333-333333333333"
KEY = UUID("b73c7feb-d20c-4131-9494-ef8fa8638a0f")


@pytest.fixture
def sent(respx_router):
    """The one request that left: method, path, body as text."""

    def sent():
        [call] = respx_router.calls
        return call.request.method, call.request.url.path, call.request.content.decode()

    return sent


def create(clients, amount="120.50"):
    return clients.refund_engine.create_claim(
        case_number="CASE-1",
        claim_amount=Decimal(amount),
        customer_history_score=Decimal("0.80"),
        product_category="toys",
        days_since_purchase=12,
    )


def charge(clients):
    return clients.stripe.charge(
        stripe_claim_id=7, recovered_cents=12345, currency="usd", idempotency_key=KEY
    )


def open_case(clients):
    return clients.integrations.open_dispute(detection_id=ID, claim_amount=Decimal("99.50"), currency="USD")


async def test_a_claim_is_created_with_decimal_text(as_ann, respx_router, sent, captured):
    """The engine reads amounts as text; a float on the way is another amount."""
    respx_router.route(host="refund-engine.test").respond(201, json=captured("refund-engine", "020"))

    claim = (await create(as_ann, amount="1E+2")).value

    assert sent() == (
        "POST",
        "/api/v1/claims",
        (
            '{"case_number":"CASE-1","claim_amount":"100","customer_history_score":0.80,'
            '"product_category":"toys","days_since_purchase":12,"claim_description":null}'
        ),
    )
    assert (claim.claim_amount, claim.status) == (Decimal("120.50"), "pending")


async def test_a_taken_number_is_a_conflict(as_ann, respx_router, captured):
    """409 is anybody's number: only a read tells whether it is the viewer's own claim."""
    respx_router.route(host="refund-engine.test").respond(409, json=captured("refund-engine", "021"))

    with pytest.raises(UpstreamConflict) as raised:
        await create(as_ann)
    assert not raised.value.maybe_done


async def test_only_what_may_be_changed_is_sent(as_ann, respx_router, sent, captured):
    """Each key becomes SQL text there: a stranger among them never leaves."""
    respx_router.route(host="refund-engine.test").respond(json=captured("refund-engine", "052"))
    for strange in ({"status": "paid"}, {"claim_amount = 0; --": 1}):
        with pytest.raises(ValueError, match="may be changed"):
            await as_ann.refund_engine.update_claim(ID, strange)
    assert not respx_router.calls

    changes = {
        "claim_amount": Decimal("9.90"),
        "customer_history_score": Decimal("0.5"),
        "claim_description": None,
    }
    assert (await as_ann.refund_engine.update_claim(ID, changes)).value.status == "approved"

    method, path, body = sent()
    assert (method, path) == ("PUT", f"/api/v1/claims/{ID}")
    assert json.loads(body) == {
        "claim_amount": "9.90",
        "customer_history_score": 0.5,
        "claim_description": None,
    }


async def test_no_such_claim_is_none(as_ann, respx_router, captured):
    """As its reads say it."""
    respx_router.route(host="refund-engine.test").respond(404, json=captured("refund-engine", "056"))

    assert await as_ann.refund_engine.update_claim(ID, {"product_category": "x"}) is None


async def test_a_sync_starts_once(as_ann, respx_router, sent, captured):
    """Each call is a new run."""
    respx_router.route(host="integrations.test").respond(json=captured("integrations", "027"))

    started = (await as_ann.integrations.start_sync("financial", enable_detection=False)).value

    assert sent() == (
        "POST",
        "/api/v1/integrations/sync/start",
        '{"syncType":"financial","enableDetection":false}',
    )
    assert (started.sync_id, started.detection_enabled) == ("sync-1795406584029-eesdsh857", True)


async def test_a_cancel_is_addressed_to_one_sync(as_ann, respx_router, sent):
    """And carries no body."""
    respx_router.route(host="integrations.test").respond(json={"success": True, "message": "cancelled"})

    await as_ann.integrations.cancel_sync("sync/1")

    [call] = respx_router.calls
    assert call.request.url.raw_path == b"/api/enhanced-sync/cancel/sync%2F1"
    assert sent()[::2] == ("DELETE", "")


async def test_what_says_no_success_is_no_success(as_ann, respx_router):
    """A 200 that says `success: false` must not be told as done."""
    respx_router.route(host="integrations.test").respond(json={"success": False, "message": "no"})

    with pytest.raises(ContractBroken) as raised:
        await as_ann.integrations.cancel_sync("sync-1")
    assert raised.value.maybe_done


async def test_a_search_is_asked_for(as_ann, respx_router, sent, captured):
    """The sync is its only handle; a broken queue is a failure that a read has to settle."""
    route = respx_router.route(host="integrations.test").respond(
        json={"success": True, "job": {"sync_id": "sync-1", "trigger_type": "manual"}}
    )
    assert (await as_ann.integrations.run_detection("sync-1")).value == "sync-1"
    assert sent() == (
        "POST",
        "/api/v1/integrations/detections/run",
        '{"syncId":"sync-1","triggerType":"manual"}',
    )

    route.respond(500, json=captured("integrations", "066"))
    with pytest.raises(UpstreamFailed) as raised:
        await as_ann.integrations.run_detection("sync-1")
    assert raised.value.maybe_done


async def test_a_case_is_opened_with_a_number(as_ann, respx_router, sent, captured):
    """Digit for digit: JSON's number, not text and not a float."""
    respx_router.route(host="integrations.test").respond(json=captured("integrations", "104"))

    case = (await open_case(as_ann)).value

    assert sent() == (
        "POST",
        "/api/enhanced-detection/disputes",
        f'{{"detectionResultId":"{ID}","caseType":"amazon_fba","claimAmount":99.50,"currency":"USD"}}',
    )
    assert (case.case_number, case.status) == ("DC-11111111-AMA-MWSQQEW9-WIPTL", "pending")


async def test_a_second_case_is_a_conflict_and_a_strange_finding_none(as_ann, respx_router, captured):
    """The database speaks in a 500; only the two constraints mean something, the rest is a failure."""
    route = respx_router.route(host="integrations.test").respond(500, json=captured("integrations", "061"))
    assert await open_case(as_ann) is None

    why = 'Failed to create dispute case: duplicate key value violates unique constraint "{}"'
    route.respond(500, json={"message": why.format("dispute_cases_detection_result_id_key")})
    with pytest.raises(UpstreamConflict) as taken:
        await open_case(as_ann)
    route.respond(500, json={"message": why.format("dispute_cases_case_number_key")})
    with pytest.raises(UpstreamFailed) as failed:
        await open_case(as_ann)
    assert (taken.value.maybe_done, failed.value.maybe_done) == (False, True)


async def test_a_case_is_filed_with_an_empty_body(as_ann, respx_router, sent, captured):
    """Evidence ids in it would move rows from other cases."""
    respx_router.route(host="integrations.test").respond(json=captured("integrations", "102"))

    case = (await as_ann.integrations.submit_dispute(ID)).value

    assert sent() == ("POST", f"/api/enhanced-detection/disputes/{ID}/submit", "{}")
    assert (case.status, case.provider_case_id) == ("submitted", "AMZ-1795406599972-88d2a52gi")


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (500, "Case cannot be submitted in status: submitted", CaseNotSubmittable),
        (500, "Case cannot be submitted in status: closed", CaseNotSubmittable),
        (500, "Case could not be submitted", UpstreamFailed),
        (403, "Invalid or expired token", UpstreamAuthFailed),
    ],
)
async def test_a_case_that_cannot_be_filed_is_told_by_type(as_ann, respx_router, status, message, kind):
    """What the caller does next hangs on it; a text that is new stays the failure that the status says."""
    respx_router.route(host="integrations.test").respond(status, json={"success": False, "message": message})

    with pytest.raises(UpstreamRejected if kind is not UpstreamFailed else UpstreamFailed) as raised:
        await as_ann.integrations.submit_dispute(ID)
    assert type(raised.value) is kind
    assert raised.value.maybe_done is (kind is UpstreamFailed)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "Access denied"),
        (500, "Failed to fetch dispute case: JSON object requested, multiple (or no) rows returned"),
    ],
)
async def test_anothers_case_and_no_case_are_none(as_ann, as_bob, respx_router, outcomes, status, message):
    """Whoever guesses ids must not learn which exist, and no guess may make the service look broken."""
    respx_router.route(host="integrations.test").respond(status, json={"success": False, "message": message})

    assert [await who.integrations.submit_dispute(ID) for who in (as_ann, as_bob)] == [None, None]
    assert [outcome.error for outcome in outcomes] == [None, None]


@pytest.mark.parametrize(
    ("provider", "method", "path"),
    [
        ("amazon", "GET", "/api/amazon/auth"),
        ("gmail", "POST", "/api/gmail/connect"),
        ("stripe", "POST", "/api/stripe/connect"),
    ],
)
async def test_a_connection_begins_at_the_consent_page(as_ann, respx_router, provider, method, path):
    """No page means that they are connected; and no page is ever given twice from memory."""
    route = respx_router.route(host="integrations.test").respond(
        json={"success": True, "message": "x", "authUrl": "https://consent.test/?state=1"}
    )
    assert (await as_ann.integrations.connect(provider)).value == "https://consent.test/?state=1"
    route.respond(json={"success": True, "message": "already connected"})
    assert (await as_ann.integrations.connect(provider)).value is None

    requests = [call.request for call in respx_router.calls]
    assert [(request.method, request.url.path) for request in requests] == [(method, path)] * 2


async def test_a_connection_ends_and_begins_anew(as_ann, respx_router, captured):
    """Both name the provider in the path."""
    route = respx_router.route(host="integrations.test").respond(json=captured("integrations", "013"))
    page = (await as_ann.integrations.reconnect("gmail")).value
    route.respond(json={"success": True, "message": "x"})
    await as_ann.integrations.disconnect("gmail")

    assert page.startswith("http://localhost:3000/integrations/gmail/connect?reconnect=true")
    assert [(call.request.method, call.request.url.path) for call in respx_router.calls] == [
        ("PATCH", "/api/v1/integrations/reconnect/gmail"),
        ("DELETE", "/api/gmail/disconnect"),
    ]


async def test_a_document_is_asked_for_at_the_top_level(as_ann, respx_router, sent, captured):
    """Nested under "evidence" it is refused; and 202 is a success."""
    respx_router.route(host="cost-docs.test").respond(202, json=captured("cost-docs", "024"))

    job = await as_ann.cost_docs.generate_document(
        detection_id=ID,
        evidence_type="lost_units",
        sku="SKU-1",
        seller_id="seller-1",
        total_loss=Decimal("120.50"),
        detected_at=datetime(2026, 1, 1, tzinfo=UTC),
        units_lost=5,
    )

    assert job.value.job_id == "1"
    assert sent() == (
        "POST",
        "/api/v1/cost-documentation/generate/auto",
        (
            f'{{"anomaly_id":"{ID}","type":"lost_units","sku":"SKU-1","loss":5,"total_loss":120.50,'
            '"detected_at":"2026-01-01T00:00:00+00:00","seller_info":{"seller_id":"seller-1"}}'
        ),
    )


async def test_a_charge_names_the_viewer_and_its_key_twice(as_ann, as_bob, respx_router, captured):
    """With the key in one place only it does nothing; with another's number another one pays."""
    respx_router.route(host="stripe.test").respond(json=captured("stripe", "026"))

    charged = [(await charge(who)).value for who in (as_ann, as_bob)]

    requests = [call.request for call in respx_router.calls]
    assert [json.loads(request.content) for request in requests] == [
        {
            "userId": user_id,
            "claimId": 7,
            "amountRecoveredCents": 12345,
            "currency": "usd",
            "idempotencyKey": str(KEY),
        }
        for user_id in (101, 102)
    ]
    assert {request.headers["idempotency-key"] for request in requests} == {str(KEY)}
    assert (charged[0].fee_cents, charged[0].payout_cents, charged[0].existed_before) == (2469, 9876, False)


async def test_a_charge_that_exists_is_a_success_without_amounts(as_ann, respx_router, captured):
    """A missing amount is not zero."""
    respx_router.route(host="stripe.test").respond(json=captured("stripe", "024"))

    charged = (await charge(as_ann)).value

    assert (charged.transaction_id, charged.fee_cents, charged.existed_before) == (2, None, True)


async def test_nobody_is_charged_without_an_account(as_ann, respx_router, captured):
    """Its 500 names a constraint, far behind in the ORM's text."""
    respx_router.route(host="stripe.test").respond(500, json=captured("stripe", "016"))

    with pytest.raises(PaymentAccountMissing) as raised:
        await charge(as_ann)
    assert not raised.value.maybe_done


@pytest.mark.parametrize("status", [400, 410])
async def test_a_refused_charge_tells_its_status(as_ann, respx_router, status):
    """An amount that is wrong and a service that charges no more: the caller tells them apart."""
    respx_router.route(host="stripe.test").respond(status, json={"error": "no"})

    with pytest.raises(UpstreamRejected) as raised:
        await charge(as_ann)
    assert (raised.value.status, raised.value.maybe_done) == (status, False)


async def test_a_charge_is_never_sent_twice_by_us(as_ann, respx_router):
    """What is not known to be done is read, not repeated."""
    route = respx_router.route(host="stripe.test").mock(side_effect=httpx.ReadError("reset"))

    with pytest.raises(Exception) as raised:  # noqa: PT011 - what counts is below
        await charge(as_ann)
    assert raised.value.maybe_done
    assert route.call_count == 1


async def test_a_card_is_set_up_for_the_viewer(as_ann, respx_router, sent):
    """The secret is for their browser: it may not get into a log by way of a repr."""
    respx_router.route(host="stripe.test").respond(
        json={"success": True, "data": {"customerId": "cus_1", "setupClientSecret": "seti_secret"}}
    )

    setup = (await as_ann.stripe.create_card_setup(email="ann@example.test", name=None)).value

    assert sent()[::2] == ("POST", '{"userId":101,"email":"ann@example.test"}')
    assert setup.client_secret == "seti_secret"
    assert "seti_secret" not in repr(setup)


async def test_who_has_no_payment_identity_pays_nothing(directory, caller_for, respx_router, ann):
    """Any other number is another person."""
    stripe = directory.clients_for(caller_for(replace(ann, stripe_user_id=None)))

    with pytest.raises(PaymentsIdentityMissing):
        await charge(stripe)
    with pytest.raises(PaymentsIdentityMissing):
        await stripe.stripe.create_card_setup(email="x@example.test", name=None)
    assert not respx_router.calls
