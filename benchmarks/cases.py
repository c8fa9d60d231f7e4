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
    seller: int  # 0 has a hundred claims, 1 a thousand
    path: str  # of the endpoint written by hand
    variables: dict[str, Any] = field(default_factory=dict)
    leaves: int | None = None  # in the answer, where growth is measured


def dashboard() -> Case:
    """The first screen: six branches, twenty claims with their documents, detections and payments."""
    document = stored_operations()["Dashboard"]
    return Case("Dashboard (20 claims)", document, 0, "/dashboard?claims=20", {"claimCount": 20})


def recoveries() -> Case:
    """A hundred claims with their submission, detections and payments."""
    return Case("Recoveries (100 claims)", RECOVERIES, 0, "/recoveries?claims=100")


def long_list() -> Case:
    """A thousand rows of ten leaf fields: ten pages, which the graph reads side by side."""
    return Case("list of 1,000 × 10", _rows(1000), 1, "/list?rows=1000")


def one_claim() -> Case:
    """All that is known of one claim, its timeline included: a paid one that came of a finding."""
    claim_id = _paid_claim()
    variables = {"id": global_id("Claim", claim_id)}
    return Case(
        "CaseDetail (one claim)", stored_operations()["CaseDetail"], 0, f"/claim/{claim_id}", variables
    )


def nothing() -> Case:
    """What a request costs that asks nobody."""
    return Case("{ __typename }", "{ __typename }", 0, "/typename")


def cases() -> list[Case]:
    """All of them, in the order of the report."""
    return [dashboard(), recoveries(), long_list(), one_claim(), nothing()]


def growing_rows() -> list[Case]:
    """10, 100, 1,000 and 10,000 leaf fields as more rows: ten of each, a further call for each hundred."""
    return [
        Case(f"{rows} rows", _rows(rows), 1, f"/list?rows={rows}", leaves=rows * 10)
        for rows in (1, 10, 100, 1000)
    ]


def growing_fields() -> list[Case]:
    """About the same numbers of the same hundred rows; the last answer has each of them six times."""
    edges = " ".join(f"e{n}: edges {{ cursor node {{ {SIXTEEN} }} }}" for n in range(5))
    selected = {
        "page": (
            "asOf totalCount isTruncated pageInfo { hasNextPage hasPreviousPage startCursor endCursor }",
            7,
        ),
        "ids": ("nodes { id }", 100),
        "ten": (f"nodes {{ {TEN} }}", 1000),
        "wide": (f"nodes {{ {SIXTEEN} }} {edges}", 100 * (6 * 16 + 5)),
    }
    return [
        Case(
            f"100 rows, {name}", f"{{ claims(first: 100) {{ {fields} }} }}", 1, f"/fields/{name}", {}, leaves
        )
        for name, (fields, leaves) in selected.items()
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
