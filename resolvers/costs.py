"""What a field costs in upstream calls, as data: for `@upstream`, for `bff explain` and for limits.

once     so many calls for all parents together
each     one call per parent
keyed    one call per parent for a few; for more, two list pages and the misses one by one
packed   one call per so many parents

Fields that name the same `shared` fetch use the same calls within an operation: of `once`, whatever they are
asked for; of the others, those that are asked for the same objects. Mutations, and events of a stream, share
nothing with one another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

REFUND_ENGINE = "refund-engine"
INTEGRATIONS = "integrations"
COST_DOCS = "cost-docs"
STRIPE = "stripe"
MCDE = "mcde"
PREDICTOR = "predictor"

FEW = 3  # as in `loaders/claims.py`
LIST_PAGES = 2
LEDGER_PAGES = 4
NAMED = 100  # keys that a router names for one page; of more, each may be on no list


@dataclass(frozen=True, slots=True)
class Calls:
    """What one field asks of one service."""

    service: str
    at_most: Callable[[int], int]  # number of parents → calls
    expected: Callable[[int], int]  # the same for most sellers: one page of each list
    hops: int = 1  # answers that must arrive one after the other
    shared: str | None = None
    weight: int = 1  # how dear one of these calls is, in ordinary ones
    of_each: bool = False  # whether it is shared for the same objects only


def once(
    service: str, *, pages: int = 1, expected: int = 1, hops: int = 1, shared: str | None = None
) -> Calls:
    """`pages` calls at most, however many parents there are; `expected` for most sellers."""
    return Calls(service, lambda _: pages, lambda _: expected, hops, shared)


def each(service: str, *, hops: int = 1, shared: str | None = None, weight: int = 1) -> Calls:
    """One call per parent."""
    return Calls(
        service, lambda parents: parents, lambda parents: parents, hops, shared, weight, of_each=True
    )


def keyed(service: str, *, hops: int = 1, shared: str | None = None) -> Calls:
    """One call per parent up to three; for more, two list pages, and whatever is not on them."""

    def at_most(parents: int) -> int:
        return parents if parents <= FEW else LIST_PAGES + parents

    def expected(parents: int) -> int:
        return parents if parents <= FEW else 1

    return Calls(service, at_most, expected, hops, shared, of_each=True)


def packed(service: str, *, size: int) -> Calls:
    """One call per `size` parents."""
    return Calls(service, lambda parents: -(-parents // size), lambda parents: -(-parents // size))


# The lists that several fields share, with the most pages that a bounded scan reads.
DISPUTES = once(INTEGRATIONS, pages=3, shared="listDisputes")
DETECTIONS = once(INTEGRATIONS, pages=3, shared="listDetectionResults")
SYNCS = once(INTEGRATIONS, pages=2, hops=2, shared="listSyncHistory")  # the history, then one older than it
TRANSACTIONS = once(STRIPE, pages=5, shared="listTransactions")
CLAIM_OF_DOCUMENT = keyed(REFUND_ENGINE, shared="claimOfDocument")  # shown, or asked whose it is
CLAIM_STATS = once(REFUND_ENGINE, shared="claimStats")
DOCUMENT_STATS = once(COST_DOCS, shared="documentStats")

LEDGER = Calls(  # one call per claim for a few; for more, the ledger itself and nothing one by one
    REFUND_ENGINE,
    lambda claims: claims if claims <= FEW else LEDGER_PAGES,
    lambda claims: claims if claims <= FEW else 1,
)

# What a router names by keys of its choice: a page of them costs as a page of ours, more cost one call each.
CLAIMS_NAMED = Calls(
    REFUND_ENGINE,
    keyed(REFUND_ENGINE).at_most,
    lambda named: named if named <= FEW else 1 + max(0, named - NAMED),
    shared="claimsNamed",
)
DOCUMENTS_NAMED = each(COST_DOCS, shared="documentsNamed")
SYNCS_NAMED = Calls(
    INTEGRATIONS,
    lambda named: 1 + named,
    lambda named: 1 + max(0, named - NAMED),
    hops=2,
    shared="syncsNamed",
)
RUNS_NAMED = replace(SYNCS_NAMED, shared="runsNamed")
