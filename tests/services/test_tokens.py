"""The tokens each service is shown, as the service would read them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import jwt
import pytest
import time_machine
from pydantic import SecretStr

from clients.errors import PaymentsIdentityMissing
from clients.tokens import TokenMint

NOW = datetime(2026, 1, 1, 12, 0, 7, tzinfo=UTC)
NUMBERS = count()  # another claim each time: the files of one are not asked for twice in a minute
ASKS = {
    "refund-engine": lambda clients: clients.refund_engine.claims_page(limit=1),
    "integrations": lambda clients: clients.integrations.integrations(),
    "cost-docs": lambda clients: clients.cost_docs.documents_of_claim(f"claim-{next(NUMBERS)}"),
    "stripe": lambda clients: clients.stripe.transactions_page(limit=1),
    "mcde": lambda clients: clients.mcde.evidence_validation(claim_id="c1", document_id="d1"),
    "predictor": lambda clients: clients.predictor.predictions([{}, {}]),
}
ANSWERS = {
    "refund-engine": "016",
    "integrations": "012",
    "cost-docs": "070",
    "stripe": "009",
    "mcde": "018",
    "predictor": "006",
}


@pytest.fixture
def header_sent(respx_router, captured):
    """Ask a service one question as a viewer: the Authorization header that arrived, if any."""

    async def header_sent(service, clients):
        respx_router.route(host=f"{service}.test").respond(json=captured(service, ANSWERS[service]))
        await ASKS[service](clients)
        return respx_router.calls.last.request.headers.get("authorization")

    return header_sent


def read(token, settings, service, when=NOW):
    with time_machine.travel(when, tick=False):
        return jwt.decode(token, settings[service].jwt_secret.get_secret_value(), algorithms=["HS256"])


@pytest.mark.parametrize(
    ("service", "claims"),
    [
        ("refund-engine", {"id": "5e11e200-0a00-4000-8000-000000000001", "role": "user"}),
        ("integrations", {"id": "5e11e200-0a00-4000-8000-000000000001"}),
        ("cost-docs", {"id": "5e11e200-0a00-4000-8000-000000000001", "role": "user"}),
        ("stripe", {"userId": 101, "role": "user"}),
    ],
)
async def test_claims_are_in_the_words_of_the_service(as_ann, settings, header_sent, service, claims):
    """With the user under another name the refund engine answers empty lists: a seller without claims."""
    with time_machine.travel(NOW, tick=False):
        scheme, token = (await header_sent(service, as_ann)).split(" ")

    decoded = read(token, settings, service)
    lived_s = NOW.timestamp() - decoded.pop("iat")
    left_s = decoded.pop("exp") - NOW.timestamp()
    assert (scheme, jwt.get_unverified_header(token)["alg"]) == ("Bearer", "HS256")
    assert decoded == {**claims, "email": "ann@example.test"}
    assert lived_s + left_s == 60
    assert lived_s >= 0


@pytest.mark.parametrize("service", ["mcde", "predictor"])
async def test_services_without_tokens_are_shown_none(as_ann, header_sent, service):
    """A token for a service that checks none would only be there to be stolen."""
    assert await header_sent(service, as_ann) is None


async def test_a_token_is_worth_nothing_at_another_service(as_ann, settings, header_sent):
    """Each service has its own secret: one that leaks opens one service."""
    token = (await header_sent("refund-engine", as_ann)).removeprefix("Bearer ")

    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, settings["cost-docs"].jwt_secret.get_secret_value(), algorithms=["HS256"])


@pytest.mark.parametrize("service", ["refund-engine", "integrations", "cost-docs", "stripe"])
async def test_two_viewers_never_share_a_token(as_ann, as_bob, settings, header_sent, service):
    """The kept token of one seller, shown for another, is the other's whole account."""
    with time_machine.travel(NOW, tick=False):
        tokens = [(await header_sent(service, who)) for who in (as_ann, as_bob, as_ann, as_bob)]

    users = [
        decoded.get("userId") or decoded["id"]
        for decoded in (read(token.removeprefix("Bearer "), settings, service) for token in tokens)
    ]
    assert users[:2] == users[2:]
    assert users[0] != users[1]


async def test_a_changed_email_is_another_token(ann, mint):
    """The kept token must not outlive what it says about its viewer."""
    assert mint.token(ann) != mint.token(replace(ann, email="new@example.test"))
    assert jwt.decode(mint.token(replace(ann, email=None)), SECRET, algorithms=["HS256"])["email"] == ""


SECRET = "the-test-secret-of-the-refund-engine"


@pytest.fixture
def mint():
    return TokenMint("refund-engine", SecretStr(SECRET))


def test_a_token_is_reused_and_never_about_to_end(ann, mint):
    """A token that ends on the way is a 401, and an outage to the seller; a new one per call is waste."""
    tokens = []
    for second in range(200):
        now = NOW + timedelta(seconds=second, milliseconds=900)
        with time_machine.travel(now, tick=False):
            token = mint.token(ann)
            claims = jwt.decode(token, SECRET, algorithms=["HS256"])
            left_s = claims["exp"] - now.timestamp()
        assert 10 <= left_s <= 60
        tokens.append(token)

    assert len(set(tokens)) == 5  # 200 s touch five periods of 50 s
    assert tokens == sorted(tokens, key=tokens.index)  # and none comes back


def test_stripe_is_shown_no_guess(ann):
    """Without the integer there is no token: any other number is another person."""
    mint = TokenMint("stripe", SecretStr(SECRET))

    for _ in range(2):
        with pytest.raises(PaymentsIdentityMissing):
            mint.token(replace(ann, stripe_user_id=None))
    assert jwt.decode(mint.token(ann), SECRET, algorithms=["HS256"])["userId"] == 101


async def test_probes_carry_no_token(directory, caller_for, respx_router, captured):
    """The monitor asks for nobody: /health needs no token, and the BFF has no identity to lend."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "001"))

    await directory.clients_for(caller_for(None)).refund_engine.health()

    assert "authorization" not in respx_router.calls.last.request.headers
