"""Who asks: what a token must prove, and what a viewer may see with the scopes it carries."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from bff_under_test import Bff, GraphAnswer, listen, running
from pydantic import SecretStr
from write_operations import MUTATIONS

from bff.app import create_dev_app
from bff.auth import LEEWAY_S, SCOPES
from bff.cli import dev_settings
from bff.contexts import REHEARSAL_SCOPE
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients.transport import ServiceSettings
from resolvers.global_ids import global_id

SELLER = SELLERS[0]
SECRET = "the-secret-of-this-test".ljust(64, "_")  # long enough for the algorithm that is refused
EVERYTHING = "{ viewer { userId } claims { asOf } serviceHealth { status } }"


@pytest.fixture(scope="module")
async def bff() -> AsyncIterator[Bff]:
    """One BFF for all of them: who asks leaves nothing behind."""
    settings = dev_settings().model_copy(update={"jwt_secret": SecretStr(SECRET)})
    sandbox = Sandbox(seed(10), mcde_repaired=True)
    async with running(create_dev_app(sandbox, settings, seller=SELLER), sandbox, settings) as bff:
        await bff.checked()
        yield bff


def token(*, secret: str = SECRET, algorithm: str = "HS256", without: str = "", **claims: Any) -> str:
    """A token that is good but for what is given; `without` leaves a claim out."""
    good: dict[str, Any] = {
        "user_id": SELLER.user_id,
        "email": SELLER.email,
        "name": SELLER.name,
        "stripe_user_id": SELLER.stripe_user_id,
        "scope": " ".join(SCOPES),
        "exp": int(time.time()) + 600,
    }
    given = {name: value for name, value in (good | claims).items() if name != without}
    return jwt.encode(given, secret or None, algorithm=algorithm)  # type: ignore[arg-type]


async def ask(bff: Bff, document: str, /, *, bearer: str, **variables: Any) -> GraphAnswer:
    return await bff.ask_with({"authorization": f"Bearer {bearer}"}, document, **variables)


def now() -> int:
    return int(time.time())


# Made when they are shown: some are good or bad for seconds only.
UNPROVEN: dict[str, Callable[[], str | None]] = {
    "nothing": lambda: None,
    "an empty header": lambda: "",
    "an empty bearer": lambda: "Bearer ",
    "a bare word": lambda: "Bearer",
    "garbage": lambda: "Bearer garbage",
    "three parts of garbage": lambda: "Bearer a.b.c",
    "letters beyond ASCII": lambda: "Bearer é.é.é",
    "basic credentials": lambda: "Basic YXZlcnk6c2VjcmV0",
    "a token without its scheme": lambda: token(),
    "a token of another scheme": lambda: f"Token {token()}",
    "two tokens": lambda: f"Bearer {token()} {token()}",
    "alg none": lambda: f"Bearer {token(secret='', algorithm='none')}",
    "another algorithm": lambda: f"Bearer {token(algorithm='HS512')}",
    "another secret": lambda: f"Bearer {token(secret='another-secret-of-more-than-32-characters')}",
    "a cut signature": lambda: f"Bearer {token()[:-5]}",
    "no signature": lambda: f"Bearer {token().rsplit('.', 1)[0]}.",
    "expired beyond the leeway": lambda: f"Bearer {token(exp=now() - LEEWAY_S - 5)}",
    "not valid yet": lambda: f"Bearer {token(nbf=now() + LEEWAY_S + 60)}",
    "no exp": lambda: f"Bearer {token(without='exp')}",
    "an exp that is no number": lambda: f"Bearer {token(exp='tomorrow')}",
    "an exp in milliseconds": lambda: f"Bearer {token(exp=(now() + 600) * 1000)}",
    "an exp beyond all calendars": lambda: f"Bearer {token(exp=10**30)}",
    "an endless exp": lambda: f"Bearer {token(exp=float('inf'))}",
    "no user_id": lambda: f"Bearer {token(without='user_id')}",
    "an empty user_id": lambda: f"Bearer {token(user_id='')}",
    "a user_id that is no UUID": lambda: f"Bearer {token(user_id='avery')}",
    "a user_id with a path": lambda: f"Bearer {token(user_id=SELLER.user_id + '/..')}",
    "a user_id with a line end": lambda: f"Bearer {token(user_id=SELLER.user_id + chr(10))}",
    "a user_id that is a number": lambda: f"Bearer {token(user_id=101)}",
    "a user_id that is a list": lambda: f"Bearer {token(user_id=[SELLER.user_id])}",
    "a user_id that is null": lambda: f"Bearer {token(user_id=None)}",
    "a scope that is a list": lambda: f"Bearer {token(scope=list(SCOPES))}",
}


@pytest.mark.parametrize("route", ["/graphql", "/api/services/status", "/api/services/stripe/health"])
@pytest.mark.parametrize("shown", UNPROVEN.values(), ids=UNPROVEN)
async def test_who_proves_nothing_is_told_to_sign_in(bff: Bff, route: str, shown: Callable[[], str | None]):
    """Nothing is answered, not even what needs no scope, and no service hears of it."""
    authorization = shown()
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    bff.calls()

    if route == "/graphql":
        response = await bff.http.post(route, json={"query": EVERYTHING}, headers=headers)
    else:
        response = await bff.http.get(route, headers=headers)

    assert (response.status_code, response.headers["content-type"]) == (
        401,
        "application/json; charset=utf-8",
    )
    assert response.headers["www-authenticate"].startswith('Bearer realm="opside"')
    assert response.headers["cache-control"] == "no-store"
    [error] = response.json()["errors"]
    assert response.json().keys() == ({"errors"} if route == "/graphql" else {"data", "errors"})
    assert error["extensions"].keys() == {"code", "retryable", "retryAfterMs", "supportCode"}
    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("UNAUTHENTICATED", False)
    assert bff.calls() == {}


@pytest.mark.parametrize(
    "shown",
    [
        lambda: token(),
        lambda: token(exp=now() - LEEWAY_S + 20),
        lambda: token(user_id=SELLER.user_id.upper()),
        lambda: token(iss="https://login.opside.example", sub="avery", roles=["seller"]),
    ],
    ids=["a good one", "one within the leeway", "a user_id in capitals", "one with other claims"],
)
async def test_who_proves_who_they_are_is_answered(bff: Bff, shown: Callable[[], str]):
    """The list above must not refuse what is good: clocks differ, and UUIDs have two cases."""
    answer = await ask(bff, EVERYTHING, bearer=shown())

    assert (answer.status, answer.errors) == (200, [])
    assert answer.data["viewer"]["userId"] == SELLER.user_id


OLD = "the-secret-before-the-one-of-this-test".ljust(64, "_")


@pytest.mark.parametrize(("previous", "status"), [(OLD, 200), (None, 401)], ids=["while it is told", "later"])
async def test_a_secret_is_replaced_and_nobody_has_to_sign_in_again(previous: str | None, status: int):
    """Tokens of the old secret are good while both are told; no service ever gets one of it from us."""
    settings = dev_settings().model_copy(
        update={
            "jwt_secret": SecretStr(SECRET),
            "jwt_secret_previous": SecretStr(previous) if previous else None,
            "refund_engine": ServiceSettings(),  # no secret of its own: its tokens are signed with ours
        }
    )
    sandbox = Sandbox(seed(10))
    heard = listen(sandbox)
    async with running(create_dev_app(sandbox, settings, seller=SELLER), sandbox, settings) as bff:
        answers = [await ask(bff, EVERYTHING, bearer=token(secret=secret)) for secret in (OLD, SECRET)]
        other = await ask(bff, EVERYTHING, bearer=token(secret="x" * 64))

    assert [answer.status for answer in answers] == [status, 200]
    assert other.status == 401
    tokens = [
        request.headers["authorization"].removeprefix("Bearer ")
        for request in heard
        if request.service == "refund-engine" and request.path.startswith("/api/v1/claims")
    ]
    assert tokens
    for minted in tokens:
        jwt.decode(minted, SECRET, algorithms=["HS256"])


async def test_the_scheme_is_read_in_any_case(bff: Bff):
    """RFC 7235 compares schemes without their case; some clients write `bearer`."""
    answer = await bff.ask_with({"authorization": f"bearer {token()}"}, EVERYTHING)

    assert (answer.status, answer.errors) == (200, [])


async def test_the_viewer_is_read_from_the_token(bff: Bff):
    """Scopes come sorted and once, so that clients can compare them; absent claims are null."""
    bff.calls()

    answer = await ask(
        bff,
        "{ viewer { userId email name scopes } }",
        bearer=token(scope="payments:read  claims:read claims:read admin", without="name", email=5),
    )

    assert answer.data["viewer"] == {
        "userId": SELLER.user_id,
        "email": None,
        "name": None,
        "scopes": ["admin", "claims:read", "payments:read"],
    }
    assert bff.calls() == {}


STRIPE_FIELDS = """query($claim: ID!, $payment: ID!) {
  viewer { userId }
  claims(first: 2) { nodes { caseNumber payments { totalCount } } }
  claim(id: $claim) { caseNumber payments { totalCount } timeline { missingServices nodes { service } } }
  payments { totalCount }
  paymentAccount { status }
  dashboard { paymentMetrics { totals { count } } claimMetrics { totalCount } }
  payment: node(id: $payment) { id }
}"""
STRIPE_PATHS = {
    ("claims", "nodes", "payments"),
    ("claim", "payments"),
    ("payments",),
    ("paymentAccount",),
    ("dashboard", "paymentMetrics"),
    ("payment",),
}


def variables_of(bff: Bff) -> dict[str, str]:
    """Ids of one object of each type that are the seller's."""
    world = bff.sandbox.world
    charged = next(
        key
        for key, row in world.claims.items()
        if key in world.stripe_claim_ids and row["user_id"] == SELLER.user_id
    )
    keys: dict[str, tuple[str, Any]] = {
        "claim": ("Claim", charged),
        "document": (
            "Document",
            next(key for key, row in world.documents.items() if row["claimId"] == charged),
        ),
        "detection": ("Detection", next(iter(world.detections))),
        "run": ("DetectionRun", next(iter(world.syncs))),
        "sync": ("Sync", next(iter(world.syncs))),
        "payment": ("Payment", next(iter(world.transactions))),
        "integration": ("Integration", "amazon"),
    }
    return {name: global_id(*key) for name, key in keys.items()}


def paths(errors: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """Where errors are, without the places in lists."""
    return {tuple(step for step in error["path"] if isinstance(step, str)) for error in errors}


@pytest.mark.parametrize(
    "claims",
    [
        {"without": "stripe_user_id"},
        *(
            {"stripe_user_id": odd}
            for odd in (
                None, True, False, 0, -1, 2**31, 101.0, 101.5, "", " 101", "+101", "1e3", "0x65", "101/..",
                "١٠١", "-101", "0", str(2**31), "9" * 5000, [101], {"id": 101}, SELLER.user_id,
            )
        ),
    ],
    ids=lambda claims: str(claims)[:50],
)  # fmt: skip
async def test_without_a_payment_identity_stripe_is_not_asked(bff: Bff, claims: dict[str, Any]):
    """Stripe knows people by integers and checks nobody: any other number is another person's money."""
    ids = variables_of(bff)
    bff.calls()

    answer = await ask(bff, STRIPE_FIELDS, bearer=token(**claims), claim=ids["claim"], payment=ids["payment"])

    assert paths(answer.errors) == STRIPE_PATHS
    for error in answer.errors:
        assert error["extensions"].pop("supportCode")
        assert error["extensions"] == {
            "code": "PAYMENTS_IDENTITY_MISSING",
            "service": "stripe",
            "retryable": False,
            "retryAfterMs": None,
        }
    assert answer.data["viewer"]["userId"] == SELLER.user_id
    assert answer.data["claim"]["caseNumber"]
    assert answer.data["claim"]["timeline"]["missingServices"] == ["stripe"]
    assert len(answer.data["claim"]["timeline"]["nodes"]) > 1
    assert answer.data["dashboard"]["claimMetrics"]["totalCount"] == 10
    assert "stripe" not in bff.calls()


@pytest.mark.parametrize("number", [101, "101", "0101"])
async def test_a_payment_identity_may_be_text(bff: Bff, number: int | str):
    """Issuers write big numbers as text: digits only are as good as the number."""
    ids = variables_of(bff)

    answer = await ask(
        bff, STRIPE_FIELDS, bearer=token(stripe_user_id=number), claim=ids["claim"], payment=ids["payment"]
    )

    assert answer.errors == []
    assert answer.data["payments"]["totalCount"] > 0
    assert answer.data["payment"] == {"id": ids["payment"]}


@dataclass(frozen=True)
class Door:
    """What one scope opens."""

    scope: str
    owner: str
    document: str
    fields: set[tuple[str, ...]]


DOORS = [
    Door(
        "claims:read",
        "refund-engine",
        """query($claim: ID!, $document: ID!) {
          claims { asOf }
          searchClaims(query: "CASE") { asOf }
          claim(id: $claim) { id }
          claimByCaseNumber(caseNumber: "CASE-1") { id }
          dashboard { claimMetrics { totalCount } recentClaims { asOf } health { status } }
          node(id: $claim) { id }
          _entities(representations: [{__typename: "Claim", id: $claim}]) { __typename }
          document(id: $document) { id claim { id } }
          detections(first: 2) { nodes { id claim { id } } }
          payments(first: 2) { nodes { id claim { id } } }
        }""",
        {
            ("claims",),
            ("searchClaims",),
            ("claim",),
            ("claimByCaseNumber",),
            ("dashboard", "claimMetrics"),
            ("dashboard", "recentClaims"),
            ("node",),
            ("_entities",),
            ("document", "claim"),
            ("detections", "nodes", "claim"),
            ("payments", "nodes", "claim"),
        },
    ),
    Door(
        "documents:read",
        "cost-docs",
        """query($claim: ID!, $document: ID!) {
          documents { asOf }
          document(id: $document) { id signedUrl { url } }
          claim(id: $claim) { id documents { asOf } }
          claims(first: 2) { nodes { id documents { asOf } } }
          dashboard { documentMetrics { totalCount } }
          node(id: $document) { id }
          _entities(representations: [{__typename: "Document", id: $document}]) { __typename }
        }""",
        {
            ("documents",),
            ("document",),
            ("claim", "documents"),
            ("claims", "nodes", "documents"),
            ("dashboard", "documentMetrics"),
            ("node",),
            ("_entities",),
        },
    ),
    Door(
        "detections:read",
        "integrations",
        """query($claim: ID!, $detection: ID!, $run: ID!) {
          detections { asOf }
          detectionRun(id: $run) { id detections { asOf } }
          claim(id: $claim) { id detections { asOf } }
          claims(first: 2) { nodes { id detections { asOf } } }
          dashboard { detectionMetrics { totalCount } }
          node(id: $detection) { id }
          run: node(id: $run) { id }
          _entities(representations: [
            {__typename: "Detection", id: $detection}, {__typename: "DetectionRun", id: $run}
          ]) { __typename }
        }""",
        {
            ("detections",),
            ("detectionRun",),
            ("claim", "detections"),
            ("claims", "nodes", "detections"),
            ("dashboard", "detectionMetrics"),
            ("node",),
            ("run",),
            ("_entities",),
        },
    ),
    Door(
        "payments:read",
        "stripe",
        """query($claim: ID!, $payment: ID!) {
          payments { asOf }
          paymentAccount { status }
          claim(id: $claim) { id payments { asOf } timeline { missingServices } }
          claims(first: 2) { nodes { id payments { asOf } } }
          dashboard { paymentMetrics { asOf } }
          node(id: $payment) { id }
          _entities(representations: [{__typename: "Payment", id: $payment}]) { __typename }
        }""",
        {
            ("payments",),
            ("paymentAccount",),
            ("claim", "payments"),
            ("claims", "nodes", "payments"),
            ("dashboard", "paymentMetrics"),
            ("node",),
            ("_entities",),
        },
    ),
    Door(
        "integrations:read",
        "integrations",
        """query($sync: ID!, $integration: ID!) {
          integrations { status }
          syncs { asOf }
          sync(id: $sync) { id }
          node(id: $sync) { id }
          integration: node(id: $integration) { id }
          _entities(representations: [
            {__typename: "Sync", id: $sync}, {__typename: "Integration", id: $integration}
          ]) { __typename }
        }""",
        {("integrations",), ("syncs",), ("sync",), ("node",), ("integration",), ("_entities",)},
    ),
    Door(
        "evidence:check",
        "mcde",
        """query($document: ID!, $claim: ID!) {
          document(id: $document) { id evidenceValidation { isCompliant } costEstimate { confidence } }
          claim(id: $claim) { documents { nodes { id evidenceValidation { isCompliant } } } }
        }""",
        {
            ("document", "evidenceValidation"),
            ("document", "costEstimate"),
            ("claim", "documents", "nodes", "evidenceValidation"),
        },
    ),
]  # fmt: skip
SCOPE = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.scope)


@SCOPE
async def test_a_missing_scope_closes_its_fields_and_no_others(bff: Bff, door: Door):
    """Each field that needs the scope is null and FORBIDDEN, its owner is not asked, the rest is answered."""
    scopes = [scope for scope in SCOPES if scope != door.scope]
    bff.calls()

    answer = await ask(bff, door.document, bearer=token(scope=" ".join(scopes)), **variables_of(bff))

    assert paths(answer.errors) == door.fields
    for error in answer.errors:
        assert error["extensions"].keys() == {"code", "retryable", "retryAfterMs", "supportCode"}
        assert error["extensions"]["code"] == "FORBIDDEN"
        assert f"`{door.scope}`" in error["message"]
        value = answer.data
        for step in error["path"]:
            value = value[step]
        assert value is None
    assert door.owner not in bff.calls()
    if door.scope == "payments:read":
        assert answer.data["claim"]["timeline"]["missingServices"] == ["stripe"]


@SCOPE
async def test_with_the_scope_the_same_fields_are_answered(bff: Bff, door: Door):
    """The test above proves nothing of fields that would be null anyway."""
    bff.calls()

    answer = await ask(bff, door.document, bearer=token(), **variables_of(bff))

    assert answer.errors == []
    assert door.owner in bff.calls()


async def test_every_scope_has_a_door(bff: Bff):
    """A scope that is added must be added to the tests above, or have a test of its own.

    The one for rehearsals opens no field: tests/graph/test_rehearsal.py holds it.
    """
    needed = set()
    for name, mutation in MUTATIONS.items():
        answer = await ask(bff, name, bearer=token(scope=""), **mutation.variables(bff.sandbox.world))
        [error] = answer.errors
        needed.add(error["message"].split("`")[1])

    assert {*(door.scope for door in DOORS), REHEARSAL_SCOPE} | needed == set(SCOPES)


async def test_without_any_scope_the_screen_still_stands(bff: Bff):
    """Whoever is signed in sees who they are and how the services are, and is told what is closed."""
    bff.calls()

    for given in ({"scope": ""}, {"without": "scope"}, {"scope": "claims:write claims"}):
        answer = await ask(bff, "Dashboard", bearer=token(**given))

        health = answer.data["dashboard"].pop("health")
        assert (health["totalCount"], health["healthyCount"]) == (6, 6)
        assert set(answer.data["dashboard"].values()) == {None}
        assert {error["extensions"]["code"] for error in answer.errors} == {"FORBIDDEN"}
    assert bff.calls() == {}
