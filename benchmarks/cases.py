"""What is asked: five operations, and the same list in growing sizes."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.viewers import CLAIMS
from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS, seed
from resolvers.connections import cursor
from resolvers.global_ids import global_id

PAGE = 100  # the graph's largest

RECOVERIES = """
query Recoveries {
  claims(first: 100, orderBy: {field: CREATED_AT, direction: DESC}) {
    asOf totalCount isTruncated
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges {
      cursor
      node {
        id status updatedAt asOf caseNumber productCategory description createdAt
        claimedAmount { amount currencyCode }
        prediction { successProbability confidence isPlaceholder }
        submission { status canSubmit expectedPayoutAt asOf }
        detections(first: 3) {
          asOf
          nodes { id type severity status confidence createdAt estimatedValue { amount currencyCode } }
        }
        payments(first: 3) {
          asOf
          nodes {
            id status isPaidOut createdAt
            recoveredAmount { amount currencyCode }
            commissionAmount { amount currencyCode }
            payoutAmount { amount currencyCode }
          }
        }
      }
    }
  }
}
"""

# Ten leaf fields of one claim, all of which its list answers.
TEN = (
    "id status updatedAt caseNumber productCategory description createdAt daysSincePurchase "
    "claimedAmount { amount currencyCode }"
)
# Sixteen: with the rest of what the list answers.
SIXTEEN = f"{TEN} customerHistoryScore prediction {{ successProbability confidence isPlaceholder }} asOf"


@dataclass(frozen=True)
class Case:
    """One operation, what it is called at the endpoint written by hand, and whose rows it reads."""

    name: str
    document: str
    variables: dict[str, Any] = field(default_factory=dict)
    seller: int = 0  # 0 has a hundred claims, 1 a thousand
    path: str = ""  # of the endpoint written by hand
    leaves: int | None = None  # in the answer, where growth is measured


def dashboard() -> Case:
    """The first screen: six branches, twenty claims with their documents, detections and payments."""
    document = stored_operations()["Dashboard"]
    return Case("Dashboard (20 claims)", document, {"claimCount": 20}, path="/dashboard?claims=20")


def recoveries() -> Case:
    """A hundred claims with their submission, detections and payments."""
    return Case("Recoveries (100 claims)", RECOVERIES, path="/recoveries?claims=100")


def long_list() -> Case:
    """A thousand rows of ten leaf fields: ten pages, which the graph reads side by side."""
    return Case("list of 1,000 × 10", _rows(1000), seller=1, path="/list?rows=1000")


def one_claim() -> Case:
    """All that is known of one claim, its timeline included: a paid one that came of a finding."""
    claim_id = _paid_claim()
    variables = {"id": global_id("Claim", claim_id)}
    return Case(
        "CaseDetail (one claim)", stored_operations()["CaseDetail"], variables, path=f"/claim/{claim_id}"
    )


def nothing() -> Case:
    """What a request costs that asks nobody."""
    return Case("{ __typename }", "{ __typename }", path="/typename")


def cases() -> list[Case]:
    """All of them, in the order of the report."""
    return [dashboard(), recoveries(), long_list(), one_claim(), nothing()]


def growing_rows() -> list[Case]:
    """10, 100, 1,000 and 10,000 leaf fields as more rows: ten of each, a further call for each hundred."""
    return [
        Case(f"{rows} rows", _rows(rows), seller=1, path=f"/list?rows={rows}", leaves=rows * 10)
        for rows in (1, 10, 100, 1000)
    ]


def growing_fields() -> list[Case]:
    """The same numbers with one call throughout: the last has each of a hundred claims six times over."""
    wide = " ".join(f"e{n}: edges {{ cursor node {{ {SIXTEEN} }} }}" for n in range(5))
    widest = f"{{ claims(first: 100) {{ nodes {{ {SIXTEEN} }} {wide} }} }}"
    return [
        *growing_rows()[:3],
        Case("100 rows, wide", widest, seller=1, path="/wide?rows=100", leaves=100 * (6 * 16 + 5)),
    ]


def _rows(rows: int) -> str:
    pages = range(0, rows, PAGE)
    return (
        "{"
        + " ".join(
            f"p{number}: claims(first: {min(PAGE, rows)}{_after(offset)}) {{ nodes {{ {TEN} }} }}"
            for number, offset in enumerate(pages)
        )
        + "}"
    )


def _after(offset: int) -> str:
    return f', after: "{cursor(offset - 1)}"' if offset else ""


@cache
def _paid_claim() -> str:
    world = seed(claims=CLAIMS, other_claims=0)
    found = {row["case_number"] for row in world.disputes.values()}
    return next(
        str(claim["id"])
        for claim in world.claims.values()
        if claim["user_id"] == SELLERS[0].user_id
        and claim["case_number"] in found
        and claim["id"] in world.stripe_claim_ids
    )
