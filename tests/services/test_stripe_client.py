"""The stripe client: it asks for the token's own integer, or it does not ask."""

from dataclasses import replace

import pytest

from clients.errors import PaymentsIdentityMissing, UpstreamFailed

STRIPE = "https://stripe.test"


async def test_transactions_page_is_one_request(as_ann, respx_router, asked, captured):
    """Pages, not offsets: stripe ignores `offset` and would answer its first page for ever."""
    respx_router.get(host="stripe.test").respond(json=captured("stripe", "032"))

    page = await as_ann.stripe.transactions_page(limit=3, page=2, status="pending")

    assert asked() == [f"GET {STRIPE}/api/v1/stripe/transactions/101?page=2&limit=3&status=pending"]
    assert (len(page.rows), page.total) == (3, 33)
    assert (page.rows[0].recovered_cents, page.rows[0].fee_cents, page.rows[0].payout_cents) == (
        12345,
        2469,
        9876,
    )
    assert [step.action for step in page.rows[0].steps] == ["payment_job_failed"]


async def test_each_viewer_is_asked_for_by_their_own_integer(as_ann, as_bob, respx_router, asked, captured):
    """Stripe shows anybody's money to whoever names the number."""
    respx_router.get(host="stripe.test").respond(json=captured("stripe", "009"))

    await as_ann.stripe.transactions_page(limit=1)
    await as_bob.stripe.transactions_page(limit=1)

    assert asked() == [
        f"GET {STRIPE}/api/v1/stripe/transactions/101?page=1&limit=1",
        f"GET {STRIPE}/api/v1/stripe/transactions/102?page=1&limit=1",
    ]


async def test_rows_of_somebody_else_are_dropped(as_ann, respx_router, captured):
    """If stripe answers with another person's charges all the same, they are not shown."""
    respx_router.get(host="stripe.test").respond(json=captured("stripe", "042"))

    assert (await as_ann.stripe.transactions_page(limit=20)).rows == []


@pytest.mark.parametrize(
    "ask", [lambda stripe: stripe.transactions_page(limit=1), lambda stripe: stripe.account()]
)
@pytest.mark.parametrize("known", [True, False])
async def test_without_an_integer_nothing_is_asked(directory, caller_for, asked, ann, ask, known):
    """Any other number is another person, and a UUID's leading digits are such a number."""
    viewer = replace(ann, stripe_user_id=None) if known else None
    caller = caller_for(viewer)

    with pytest.raises(PaymentsIdentityMissing) as raised:
        await ask(directory.clients_for(caller).stripe)

    assert (asked(), caller.uses) == ([], {})
    assert (raised.value.code, raised.value.retryable) == ("PAYMENTS_IDENTITY_MISSING", False)


async def test_account_is_one_request(as_ann, respx_router, asked):
    """The three flags are what decides; `status` is absent in practice."""
    respx_router.get(host="stripe.test").respond(
        json={
            "success": True,
            "data": {"chargesEnabled": True, "payoutsEnabled": False, "detailsSubmitted": True},
        }
    )

    account = (await as_ann.stripe.account()).value

    assert asked() == [f"GET {STRIPE}/api/v1/stripe/status/101"]
    assert (account.charges_enabled, account.payouts_enabled, account.details_submitted) == (
        True,
        False,
        True,
    )


async def test_no_account_yet_is_none(as_ann, respx_router, captured):
    """A seller who never began with payments is not an error."""
    respx_router.get(host="stripe.test").respond(404, json=captured("stripe", "012"))

    assert await as_ann.stripe.account() is None


async def test_failed_account_is_not_none(as_ann, respx_router, captured):
    """Stripe unreachable from the service must not read as "not onboarded"."""
    respx_router.get(host="stripe.test").respond(500, json=captured("stripe", "044"))

    with pytest.raises(UpstreamFailed):
        await as_ann.stripe.account()
