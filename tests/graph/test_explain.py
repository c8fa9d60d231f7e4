"""`bff explain`: what an operation will ask, told before it runs, must never be less than what it asks."""

import uuid

import pytest
from graphql import GraphQLError
from read_operations import claims_of, uploads_of, variables_for
from test_call_contracts import CONTRACT, Sizes
from test_hops import HOPS

from bff.explain import explain
from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS, seed
from bff.schema import build_schema
from resolvers.connections import cursor
from resolvers.costs import FEW, LEDGER_PAGES, LIST_PAGES
from resolvers.global_ids import global_id


@pytest.fixture(scope="module")
def schema():
    return build_schema()


@pytest.fixture
def at_most(schema):
    """The most calls of a document, by service; services that are not asked are left out."""

    def at_most(document, /, **variables):
        found = explain(schema, document, variables)
        return {service: calls.at_most for service, calls in found.services.items() if calls.at_most}

    return at_most


def beyond(calls, price):
    return {
        service: (made, price.get(service, 0))
        for service, made in calls.items()
        if made > price.get(service, 0)
    }


@pytest.mark.parametrize("claims", [1, 100, 800])
async def test_no_operation_asks_more_than_was_explained(make_bff, at_most, claims):
    """A price that is too low is worse than none: limits are built on it. For both sellers, nothing kept."""
    world = seed(claims)
    dearer = {}
    for seller in SELLERS:
        for operation, variables in variables_for(world, seller).items():
            bff = await make_bff(world=world, mcde_repaired=True)
            answer = await bff.ask(operation, seller=seller, **variables)
            assert answer.errors == []
            if found := beyond(bff.calls(), at_most(stored_operations()[operation], **variables)):
                dearer[operation] = found
        if claims == 800:
            break  # one seller is enough where all lists are long

    assert dearer == {}


@pytest.mark.parametrize("claims", [1, 10, 100, 800])
def test_the_price_is_consistent_with_the_contract(at_most, claims):
    """Two tables that contradict each other are one too many: the contract lies within the price."""
    world = seed(claims)
    variables = variables_for(world)

    contradictions = {
        operation: found
        for operation, contract in CONTRACT.items()
        if (
            found := beyond(
                contract(Sizes(world)), at_most(stored_operations()[operation], **variables[operation])
            )
        )
    }

    assert contradictions == {}


@pytest.mark.parametrize("operation", HOPS)
def test_hops_are_not_told_too_few(schema, operation):
    """How long an answer takes is its hops: told too few, a screen is promised faster than it can be."""
    variables = variables_for(seed(10))[operation]

    assert HOPS[operation] <= explain(schema, stored_operations()[operation], variables).hops


def test_dashboard_costs_what_it_is_measured_by(schema):
    """Twelve calls for most sellers, in two hops."""
    found = explain(schema, stored_operations()["Dashboard"], {"claimCount": 5})

    assert sum(calls.expected for calls in found.services.values()) == 12
    assert found.hops == 2
    assert sum(sum(services.values()) for services in found.by_hop.values()) == sum(
        calls.at_most for calls in found.services.values()
    )


def test_nothing_is_asked_nothing_is_told(at_most, schema):
    """Health and the viewer are the BFF's own: they cost no service anything."""
    assert at_most("{ viewer { userId } serviceHealth { services { name } } __typename }") == {}
    assert explain(schema, "{ viewer { userId } }", {}).hops == 0


DOCUMENTS = "query ($n: Int!) { claims(first: $n) { nodes { documents { totalCount } } } }"


@pytest.mark.parametrize("first", [1, 5, 100])
def test_the_size_of_a_page_counts(at_most, first):
    """Documents are one call a claim: a page of a hundred is a hundred calls, however `first` is given."""
    below = "edges { node { documents { totalCount } } }"
    given = f"{{ claims(first: {first}) {{ {below} }} }}"
    default = f"query ($n: Int = {first}) {{ claims(first: $n) {{ {below} }} }}"

    price = {"refund-engine": 1, "cost-docs": first}
    assert at_most(DOCUMENTS, n=first) == at_most(given) == at_most(default) == price


def test_a_list_in_a_list_multiplies(at_most):
    """Ten claims with twenty documents each are two hundred judgements: nesting is what is dear."""
    price = at_most(
        """{ claims(first: 10) { nodes { documents(first: 20) { nodes {
          evidenceValidation { isCompliant }
        } } } } }"""
    )

    assert (price["cost-docs"], price["mcde"]) == (10, 200)


@pytest.mark.parametrize(
    ("directive", "included"),
    [
        ("@skip(if: true)", False),
        ("@skip(if: false)", True),
        ("@include(if: true)", True),
        ("@include(if: false)", False),
        ("@skip(if: $yes)", False),
        ("@include(if: $yes)", True),
        ("@skip(if: $no)", True),
        ("@include(if: $no)", False),
        ("@include(if: $yes) @skip(if: $yes)", False),
    ],
)
@pytest.mark.parametrize(
    "selection", ["submission %s { status }", "... %s { submission { status } }", "...Filing %s"]
)
def test_what_is_left_out_costs_nothing(at_most, selection, directive, included):
    """One stored operation serves the list with and without its columns: only what is asked is priced."""
    document = """query ($id: ID!, $yes: Boolean = true, $no: Boolean!) {
      claim(id: $id) { caseNumber %s }
      again: claim(id: $id) @include(if: $no) { ...Filing @skip(if: $yes) }
    }
    fragment Filing on Claim { submission { status } }""" % (selection % directive)

    assert at_most(document, id="x", no=False).get("integrations", 0) == (3 if included else 0)


def test_what_is_shared_counts_once(at_most):
    """Filings, findings and the timeline read the same lists: three fields, one reading."""
    alone = at_most("query ($id: ID!) { claim(id: $id) { detections { totalCount } } }", id="x")
    together = at_most(
        """query ($id: ID!) { claim(id: $id) {
          submission { status } detections { totalCount } again: detections { nodes { id } }
        } }""",
        id="x",
    )

    assert together == alone


async def test_a_call_for_each_object_is_shared_for_the_same_objects_only(make_bff):
    """Ten documents by ten aliases were priced as one; the links of several lists as those of one."""
    bff = await make_bff(mcde_repaired=True)
    rows = uploads_of(bff.sandbox.world, SELLERS[0])[:10]
    each = " ".join(
        f'd{n}: document(id: "{global_id("Document", row["id"])}") {{ signedUrl {{ url }} }}'
        for n, row in enumerate(rows)
    )
    below = "nodes { documents(first: 2) { nodes { ...L } } }"
    pages = " ".join(f'c{n}: claims(first: 1, after: "{cursor(n)}") {{ {below} }}' for n in range(5))
    links = "fragment L on Document { signedUrl { url } link: signedUrl { expiresAt } }"

    by_alias = await bff.ask(f"{{ {each} }}", headers={"x-cost": "1"})
    asked = sum(bff.calls().values())
    in_lists = await bff.ask(f"{{ {pages} }} {links}", headers={"x-cost": "1"})

    assert by_alias.errors == in_lists.errors == []
    assert asked == 10
    assert (
        by_alias.extensions["cost"]["requested"] == 10 + 10
    )  # of each it may be asked whose claim it proves
    assert in_lists.extensions["cost"]["requested"] == 5 + 5 + 5 * 2 * 5


async def test_mutations_share_nothing(make_bff):
    """Each is followed by loaders of its own: ten in one operation read every list ten times."""
    bff = await make_bff(mcde_repaired=True)
    rows = claims_of(bff.sandbox.world, SELLERS[0])[:10]
    changes = " ".join(
        f"""c{n}: updateClaim(input: {{ claimId: "{global_id("Claim", row["id"])}", description: "{n}" }}) {{
          claim {{ submission {{ status }} payments {{ totalCount }} }}
        }}"""
        for n, row in enumerate(rows)
    )

    answer = await bff.ask(f"mutation {{ {changes} }}", headers={"x-cost": "1"})

    assert answer.errors == []
    calls = bff.calls()
    assert (calls["integrations"], calls["stripe"]) == (10, 10)
    assert answer.extensions["cost"]["requested"] == 10 * (2 + 1 + 1) >= sum(calls.values())


@pytest.mark.parametrize(
    ("selection", "each"),
    [
        ("id status", 0),
        ("submission { status }", 1),
        ("submission { status } again: submission { canSubmit } detections { totalCount }", 2),
        ("documents(first: 3) { nodes { costEstimate { __typename } } }", 1 + 3 * 5 + 3),
    ],
)
@pytest.mark.parametrize("claims", [1, 100])
def test_a_stream_costs_its_selection_for_each_claim_that_it_begins_with(schema, claims, selection, each):
    """Each event is executed by itself, with loaders of its own: what a page would share is asked again."""
    document = f"subscription ($ids: [ID!]!) {{ claimUpdated(claimIds: $ids) {{ claim {{ {selection} }} }} }}"

    found = explain(schema, document, {"ids": ["x"] * claims})

    assert (found.cost, found.event_cost) == (1 + claims * each, each)
    assert found.objects == (3 * claims if "documents" in selection else 0)


@pytest.mark.parametrize(
    ("document", "cost", "event_cost"),
    [
        ("subscription { serviceHealth { health { services { status } } } }", 0, 0),
        ('subscription { syncProgress(syncId: "x") { sync { status } } }', 1, 0),
        (
            """subscription { detectionProgress(detectionRunId: "x") { detectionRun { detections { nodes {
              claim { documents { asOf } }
            } } } } }""",
            1 + 1 + 1 + 1 + 20,
            1 + 1 + 1 + 20,
        ),
    ],
)
def test_streams_that_watch_one_thing_begin_with_one_event(schema, document, cost, event_cost):
    """Health is the BFF's own and costs nobody anything."""
    found = explain(schema, document, {})

    assert (found.cost, found.event_cost) == (cost, event_cost)


def test_a_second_alias_of_a_call_apiece_is_not_told_too_low(at_most):
    """Two claims under two aliases are two claims."""
    one = at_most('{ a: claim(id: "x") { documents { totalCount } } }')
    two = at_most(
        '{ a: claim(id: "x") { documents { totalCount } } b: claim(id: "y") { documents { totalCount } } }'
    )

    assert (one["cost-docs"], two["cost-docs"]) == (1, 2)
    assert two["refund-engine"] == 2


def test_one_field_in_two_places_of_the_document_is_one_field(at_most):
    """Fragments repeat fields; the executor merges them, and so does the price."""
    assert at_most(
        """query ($id: ID!) { claim(id: $id) { ...A ...B documents { totalCount } } }
        fragment A on Claim { documents { nodes { id } } }
        fragment B on Claim { ... on Node { id } documents { nodes { fileName } } }""",
        id="x",
    ) == {"refund-engine": 1, "cost-docs": 1}


def test_many_keys_are_read_from_the_list(at_most):
    """More than a few claims by key are two list pages and the misses."""
    query = "query ($n: Int!) { payments(first: $n) { nodes { claim { id } } } }"

    assert at_most(query, n=FEW)["refund-engine"] == FEW
    assert at_most(query, n=FEW + 1)["refund-engine"] == LIST_PAGES + FEW + 1


def test_which_operation_is_meant(schema):
    """A document with several has the price of the one that is named."""
    document = "query A { viewer { userId } } query B { claims(first: 1) { totalCount } }"

    assert explain(schema, document, {}, "A").services == {}
    assert explain(schema, document, {}, "B").services["refund-engine"].at_most == 1
    for name in (None, "C"):
        with pytest.raises(GraphQLError):
            explain(schema, document, {}, name)


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ("", {}),
        ("{", {}),
        ("{ nothing }", {}),
        ("{ claims(first: 1) }", {}),
        ("{ claims(first: true) { totalCount } }", {}),
        ("{ ...Missing }", {}),
        ("fragment A on Claim { id }", {}),
        ("fragment A on Claim { ...B } fragment B on Claim { ...A } { claim(id: 1) { ...A } }", {}),
        (DOCUMENTS, {}),
        (DOCUMENTS, {"n": None}),
        (DOCUMENTS, {"n": "ten"}),
        ("query ($n: Nothing) { claims(first: $n) { totalCount } }", {"n": 1}),
    ],
)
def test_what_cannot_run_has_no_price(schema, document, variables):
    """Whoever sends it learns what is wrong, in GraphQL's own words, and no traceback."""
    with pytest.raises(GraphQLError):
        explain(schema, document, variables)


@pytest.mark.parametrize(
    ("claims", "reads"), [(1, 1), (FEW, FEW), (FEW + 1, LEDGER_PAGES), (60, LEDGER_PAGES)]
)
async def test_timelines_are_never_dearer_than_told(make_bff, at_most, claims, reads):
    """The ledger of a seller with years behind them is read to a bound, however many claims are on screen."""
    query = "query ($n: Int!) { claims(first: $n) { nodes { timeline(first: 1) { nodes { type } } } } }"
    bff = await make_bff(claims=100)
    ledger = bff.sandbox.world.ledger
    for seller in SELLERS:
        own = next(row for row in ledger.values() if row["user_id"] == seller.user_id)
        ledger.update({str(key := uuid.uuid4()): {**own, "id": str(key)} for _ in range(3000)})

    for seller in SELLERS:
        bff.calls()
        answer = await bff.ask(query, seller=seller, n=claims)

        assert answer.errors == []
        assert bff.calls()["refund-engine"] == 1 + reads <= at_most(query, n=claims)["refund-engine"]
