"""Entities for a router: many are one batch, each stands alone, and a list too long is refused."""

from typing import Any

import pytest
from bff_under_test import Bff, GraphAnswer, MakeBff
from read_operations import claims_of, detections_of, payments_of, uploads_of

from bff.auth import SCOPES
from bff.dev_issuer import DevIssuer
from bff.explain import explain
from bff.limits import LimitSettings
from bff.rates import RateSettings
from bff.sandbox import pace
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Seller, World
from bff.schema import build_schema
from resolvers.global_ids import global_id

FIRST, SECOND = SELLERS
DEFAULT = LimitSettings()
MOST = DEFAULT.list_items  # representations that one fetch of a router may name, as of any list
DOCUMENT = """query($all: [_Any!]!) {
  _entities(representations: $all) { __typename ... on Node { id } }
}"""
OWNERS = {
    "Claim": "refund-engine",
    "Detection": "integrations",
    "DetectionRun": "integrations",
    "Document": "cost-docs",
    "Integration": "integrations",
    "Payment": "stripe",
    "Sync": "integrations",
}
READS = {
    "Claim": "claims:read",
    "Detection": "detections:read",
    "DetectionRun": "detections:read",
    "Document": "documents:read",
    "Integration": "integrations:read",
    "Payment": "payments:read",
    "Sync": "integrations:read",
}


def ids_of(world: World, seller: Seller) -> dict[str, list[str]]:
    """Ids of each type of entity that are a seller's own."""
    syncs = [row["sync_id"] for row in world.syncs.values() if row["user_id"] == seller.user_id]
    keys = {
        "Claim": [row["id"] for row in claims_of(world, seller)],
        "Detection": [row["id"] for row in detections_of(world, seller)],
        "DetectionRun": syncs,
        "Document": [row["id"] for row in uploads_of(world, seller)],
        "Integration": ["amazon", "gmail", "stripe"],
        "Payment": [row["id"] for row in payments_of(world, seller)],
        "Sync": syncs,
    }
    return {name: [global_id(name, key) for key in found] for name, found in keys.items()}


def references(type_name: str, ids: list[str]) -> list[dict[str, str]]:
    return [{"__typename": type_name, "id": each} for each in ids]


def one_of_each(world: World, seller: Seller) -> list[dict[str, str]]:
    return [references(name, ids)[0] for name, ids in ids_of(world, seller).items()]


async def ask(bff: Bff, representations: list[Any], **options: Any) -> GraphAnswer:
    return await bff.ask(DOCUMENT, all=representations, **options)


@pytest.mark.parametrize("seller", SELLERS, ids=["first", "second"])
@pytest.mark.parametrize("type_name", sorted(OWNERS.keys() - {"Document"}))
async def test_many_entities_are_one_batch(make_bff: MakeBff, type_name: str, seller: Seller):
    """A router sends the keys of a whole screen at once: asking for each would be N+1 across two graphs."""
    bff = await make_bff(claims=120)
    ids = ids_of(bff.sandbox.world, seller)[type_name]
    bff.calls()

    answer = await ask(bff, references(type_name, ids[:100]), seller=seller)

    assert answer.errors == []
    assert [entity["id"] for entity in answer.data["_entities"]] == ids[:100]
    assert bff.calls() == {OWNERS[type_name]: 1}


async def test_a_hundred_claims_cost_what_five_cost(make_bff: MakeBff):
    """The promise holds for a router as for a screen: calls do not grow with the list."""
    bff = await make_bff(claims=120)
    ids = ids_of(bff.sandbox.world, FIRST)["Claim"]
    costs = []
    for count in (5, 20, 100):
        bff.calls()
        assert (await ask(bff, references("Claim", ids[-count:]))).errors == []
        costs.append(bff.calls())

    assert costs == [{"refund-engine": 1}] * 3


async def test_documents_are_asked_one_by_one(bff: Bff):
    """Cost docs cannot be asked for several: the price is one call for each, and repeats are free."""
    ids = ids_of(bff.sandbox.world, FIRST)["Document"][:6]
    bff.calls()

    answer = await ask(bff, references("Document", ids * 3))

    assert answer.errors == []
    assert [entity["id"] for entity in answer.data["_entities"]] == ids * 3
    assert bff.calls() == {"cost-docs": len(ids)}


async def test_types_are_asked_side_by_side(bff: Bff):
    """One fetch of the router may name objects of every owner: each in its place, none waits for another."""
    mixed = one_of_each(bff.sandbox.world, FIRST) * 2
    bff.calls()

    answer = await ask(bff, mixed)

    assert answer.errors == []
    assert [(each["__typename"], each["id"]) for each in answer.data["_entities"]] == [
        (each["__typename"], each["id"]) for each in mixed
    ]
    calls = bff.calls()
    assert calls == {"refund-engine": 1, "integrations": 3, "cost-docs": 1, "stripe": 1}


@pytest.mark.parametrize("service", sorted(set(OWNERS.values())))
async def test_an_outage_costs_its_own_entities(bff: Bff, service: str):
    """An owner that is down must not take down what another graph shows beside its entities."""
    bff.sandbox.down.add(service)
    mixed = one_of_each(bff.sandbox.world, FIRST)
    lost = [place for place, each in enumerate(mixed) if OWNERS[each["__typename"]] == service]

    answer = await ask(bff, mixed)

    assert [place for place, each in enumerate(answer.data["_entities"]) if each is None] == lost
    assert sorted(
        (error["path"], error["extensions"]["code"], error["extensions"]["service"])
        for error in answer.errors
    ) == [(["_entities", place], "SERVICE_UNAVAILABLE", service) for place in lost]


@pytest.mark.parametrize("scope", sorted(set(READS.values())))
async def test_a_missing_scope_costs_its_own_entities(bff: Bff, scope: str):
    """Through the router, a token opens exactly what it opens at the front door, before anybody is asked."""
    mixed = one_of_each(bff.sandbox.world, FIRST)
    shut = [place for place, each in enumerate(mixed) if READS[each["__typename"]] == scope]
    token = DevIssuer(bff.settings.jwt_secret).token(
        user_id=FIRST.user_id,
        email=FIRST.email,
        name=FIRST.name,
        stripe_user_id=FIRST.stripe_user_id,
        scopes=[each for each in SCOPES if each != scope],
    )
    bff.calls()

    answer = await bff.ask_with({"authorization": f"Bearer {token}"}, DOCUMENT, all=mixed)
    calls = bff.calls()
    everything = await ask(bff, mixed)

    assert [place for place, each in enumerate(answer.data["_entities"]) if each is None] == shut
    assert sorted((error["path"], error["extensions"]["code"]) for error in answer.errors) == [
        (["_entities", place], "FORBIDDEN") for place in shut
    ]
    open_to = {OWNERS[each["__typename"]] for each in mixed if READS[each["__typename"]] != scope}
    assert calls.keys() == open_to
    assert everything.errors == []


@pytest.mark.parametrize(("viewer", "owner"), [(FIRST, SECOND), (SECOND, FIRST)], ids=["first", "second"])
async def test_a_strangers_entity_is_none(bff: Bff, viewer: Seller, owner: Seller):
    """Keys travel between graphs: knowing one must not open what it names, nor tell that it exists."""
    private = OWNERS.keys() - {"Integration"}  # of which every seller has the same
    theirs = [each for each in one_of_each(bff.sandbox.world, owner) if each["__typename"] in private]
    own = [each for each in one_of_each(bff.sandbox.world, viewer) if each["__typename"] in private]

    answer = await ask(bff, theirs + own, seller=viewer)

    assert answer.errors == []
    assert answer.data["_entities"][: len(theirs)] == [None] * len(theirs)
    assert [each["id"] for each in answer.data["_entities"][len(theirs) :]] == [each["id"] for each in own]


async def test_too_many_representations_are_refused(bff: Bff):
    """Keys without end would be read for minutes; what one request may name is bounded, and it is said."""
    claim = references("Claim", ids_of(bff.sandbox.world, FIRST)["Claim"])[0]
    bff.calls()

    refused = await ask(bff, [claim] * 2 * MOST)
    calls = bff.calls()
    most = await ask(bff, [claim] * MOST)

    assert refused.data is None
    [error] = refused.errors
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert str(2 * MOST) in error["message"]
    assert calls == {}
    assert (most.errors, len(most.data["_entities"])) == ([], MOST)


NAMED_APART = """query($type: String!, $a: ID!, $b: ID!, $c: ID!, $d: ID!) {
  _entities(representations: [
    {__typename: $type, id: $a} {__typename: $type, id: $b}
    {__typename: $type, id: $c} {__typename: $type, id: $d}
  ]) { __typename }
}"""
MADE_UP = {"DetectionRun": "sync-{}", "Payment": "{}", "Sync": "sync-{}"}


def made_up(type_name: str, count: int) -> list[dict[str, str]]:
    """Representations of objects that nobody has."""
    form = MADE_UP.get(type_name, "00000000-0000-4000-8000-{:012}")
    return references(type_name, [global_id(type_name, form.format(1_000_000 + n)) for n in range(count)])


@pytest.mark.parametrize("seller", SELLERS, ids=["first", "second"])
async def test_documents_beyond_the_cost_limit_are_refused(make_bff: MakeBff, seller: Seller):
    """Ids can be made up: a thousand in one request would be a thousand calls, and all sellers' quota."""
    bff = await make_bff(claims=5, rates=RateSettings(mode="off"))
    told = {"seller": seller, "headers": {"x-cost": "1"}}

    page = await ask(bff, made_up("Document", 100), **told)
    paid = bff.calls()
    refused = await ask(bff, made_up("Document", 1000), **told)

    assert page.errors == []
    assert page.extensions["cost"] == {"requested": 101, "limit": 200, "actual": 100}
    assert paid == {"cost-docs": 100}
    assert (refused.data, [error["extensions"]["code"] for error in refused.errors]) == (
        None,
        ["QUERY_TOO_COMPLEX"],
    )
    assert refused.extensions["cost"] == {"requested": 1001, "limit": 200, "actual": 0}
    assert bff.calls() == {}


async def test_what_a_router_names_counts_against_the_rate(make_bff: MakeBff):
    """The limit of one request bounds nothing when requests are many; each viewer has a rate of their own."""
    bff = await make_bff(claims=5, rates=RateSettings(mode="enforce", cost_per_minute=1, burst_cost=205))
    documents = made_up("Document", 100)

    served = [await ask(bff, documents) for _ in range(3)]
    other = await ask(bff, documents, seller=SECOND)

    assert [answer.status for answer in served] == [200, 200, 429]
    assert other.errors == []


@pytest.mark.parametrize("type_name", sorted(OWNERS.keys() - {"Document"}))
async def test_a_page_of_entities_costs_little_and_no_less_than_it_asks(make_bff: MakeBff, type_name: str):
    """Routers send the keys of a page: they must never be refused, nor asked beyond what was told."""
    bff = await make_bff(claims=120)
    ids = ids_of(bff.sandbox.world, FIRST)[type_name][:100]
    told = explain(build_schema(), DOCUMENT, {"all": references(type_name, ids)})
    bff.calls()

    answer = await ask(bff, references(type_name, ids), headers={"x-cost": "1"})

    assert answer.errors == []
    assert answer.extensions["cost"]["requested"] == told.cost == 1
    assert bff.calls() == {OWNERS[type_name]: told.services[OWNERS[type_name]].expected}


@pytest.mark.parametrize(
    ("claims", "type_name"), [(450, "Claim"), (450, "Sync"), (450, "DetectionRun"), (450, "Payment")]
)
async def test_ids_on_no_list_ask_no_more_than_is_told_at_most(
    make_bff: MakeBff, claims: int, type_name: str
):
    """A long account's lists are not read to their end: what is on none is asked one by one."""
    bff = await make_bff(claims=450, rates=RateSettings(mode="off"))
    for _ in range(120):
        pace.begin(bff.sandbox.world, FIRST.user_id, "inventory", search=False)
    named = made_up(type_name, 150)
    told = explain(build_schema(), DOCUMENT, {"all": named})
    bff.calls()

    await ask(bff, named)

    [(service, calls)] = bff.calls().items()
    assert service == OWNERS[type_name]
    assert calls <= told.services[service].at_most
    many = explain(build_schema(), DOCUMENT, {"all": made_up(type_name, 1000)})
    assert (many.cost > DEFAULT.cost) == (type_name != "Payment")


async def test_a_price_is_of_the_ids_that_were_sent(make_bff: MakeBff):
    """The same text is priced anew: else one cheap request would open the door to every dear one."""
    bff = await make_bff(claims=5, limits=LimitSettings(cost=4), rates=RateSettings(mode="off"))
    one, *others = [each["id"] for each in made_up("Document", 4)]
    same = {"a": one, "b": one, "c": one, "d": one}
    apart = dict(zip("abcd", [one, *others], strict=True))

    cheap = await bff.ask(NAMED_APART, type="Document", **same)
    dear = await bff.ask(NAMED_APART, type="Document", **apart)
    unknown = await bff.ask(NAMED_APART, type="Nothing", headers={"x-cost": "1"}, **apart)

    assert cheap.errors == []
    assert dear.extensions["cost"]["requested"] == 5
    assert dear.data is None
    assert unknown.extensions["cost"] == {"requested": 0, "limit": 4, "actual": 0}


async def test_ids_under_several_aliases_are_counted_together():
    """The loaders read them as one list, and a page under each alias is no page any more."""
    document = """query($a: [_Any!]!, $b: [_Any!]!) {
      a: _entities(representations: $a) { __typename } b: _entities(representations: $b) { __typename }
    }"""
    claims = made_up("Claim", 200)

    def cost(first: list[Any], second: list[Any]) -> int:
        return explain(build_schema(), document, {"a": first, "b": second}).cost

    assert cost(claims[:100], claims[:100]) == 1
    assert cost(claims[:100], claims[100:]) == 101


async def test_a_router_is_told_of_scopes_where_it_can_read_them(make_bff):
    """Apollo's gateway refuses a whole supergraph for a directive that other routers act upon."""
    plain, telling = await make_bff(), await make_bff(router_scopes=True)

    without, with_scopes = [
        (await each.ask("{ _service { sdl } }")).data["_service"]["sdl"] for each in (plain, telling)
    ]

    assert "requiresScopes" not in without
    assert "federation__Scope" not in without
    assert 'import: ["@key", "@shareable"]' in without
    assert '@requiresScopes(scopes: [["claims:read"]])' in with_scopes
