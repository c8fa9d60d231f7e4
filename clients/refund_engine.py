"""The refund engine: claims and the ledger. System of record for the money Amazon owes.

Amounts are decimal text both ways, without a currency: USD. Ids that are not UUIDs are a 500 there, so they
are checked before the call. Lists hold only the caller's rows; reads by id and by number hold anybody's, and
whoever calls them compares `user_id` with the viewer. So does whoever changes a claim: the engine does not.
"""

from decimal import Decimal
from typing import Generic, Literal, TypedDict, TypeVar

from pydantic import TypeAdapter

from clients.addresses import given, path_id
from clients.caller import Caller
from clients.chain.question import Disguise
from clients.errors import UpstreamNotFound
from clients.records import CountText, Decimal15, Int32, Record, Rows, UtcTime, UuidText, Word, number
from clients.transport import Answer, Page, Upstream

T = TypeVar("T")

ClaimSort = Literal[
    "created_at", "updated_at", "claim_amount", "status", "case_number", "days_since_purchase"
]
SortOrder = Literal["ASC", "DESC"]

_NO_CLAIM = (Disguise(404, r"Claim not found|The specified claim does not exist .*", UpstreamNotFound),)


class ClaimRecord(Record):
    """A claim as the engine keeps it."""

    id: UuidText
    user_id: UuidText
    case_number: str
    claim_amount: Decimal15
    customer_history_score: Decimal15
    product_category: str
    days_since_purchase: Int32
    claim_description: str | None
    status: Word
    ml_prediction: Decimal15 | None
    ml_confidence: Decimal15 | None
    created_at: UtcTime
    updated_at: UtcTime


class ClaimChanges(TypedDict, total=False):
    """What may be changed of a claim. Keys become SQL text there, hence the closed list."""

    claim_amount: Decimal  # above 0, at most two decimals
    product_category: str  # 1 to 100 characters
    days_since_purchase: int
    customer_history_score: Decimal  # 0 to 1, at most two decimals
    claim_description: str | None  # None empties it


class ClaimStatsRecord(Record):
    """Counters over all claims of the viewer. There is none for `paid`: the rest of `total` is."""

    total: CountText
    pending: CountText
    processing: CountText
    approved: CountText
    rejected: CountText
    total_amount: Decimal15 | None  # a sum over no rows is null in SQL
    avg_prediction: Decimal15 | None


class LedgerRecord(Record):
    """One row of the money ledger."""

    id: UuidText
    case_id: UuidText | None
    user_id: UuidText
    entry_type: Word
    amount: Decimal15
    description: str | None
    status: Word
    created_at: UtcTime


class RefundEngineHealth(Record):
    """`status` says "healthy" even without a database, so it is not read."""

    database: Word = "unknown"

    @property
    def dependency_down(self) -> bool:
        return self.database != "connected"


class _Pagination(Record):
    total: Int32


class _Page(Record, Generic[T]):
    data: Rows[T]
    pagination: _Pagination


class _One(Record, Generic[T]):
    data: T


CLAIM_PAGE = TypeAdapter(_Page[ClaimRecord])
CLAIM = TypeAdapter(_One[ClaimRecord])
CLAIMS_FOUND = TypeAdapter(_One[Rows[ClaimRecord]])
CLAIM_STATS = TypeAdapter(_One[ClaimStatsRecord])
LEDGER_PAGE = TypeAdapter(_Page[LedgerRecord])
HEALTH = TypeAdapter(RefundEngineHealth)


class RefundEngine:
    """What one caller can ask the refund engine."""

    def __init__(self, upstream: Upstream, caller: Caller) -> None:
        self._upstream = upstream
        self._caller = caller

    async def claims_page(
        self,
        *,
        limit: int,
        offset: int = 0,
        status: str | None = None,
        product_category: str | None = None,
        sort_by: ClaimSort = "created_at",
        sort_order: SortOrder = "DESC",
    ) -> Page[ClaimRecord]:
        """One page of the viewer's claims, newest first unless told otherwise.

        Args:
            limit: 1 to 200 rows; the engine itself knows no upper bound.
            offset: rows to skip, from 0.
            status: only claims in this state, in the engine's word.
            sort_by: becomes SQL text there, hence the closed list.

        Returns:
            0 to `limit` claims and the count of all that match. There is no way to ask for given ids:
            the engine ignores parameters it does not know and answers its first page.

        Source: `GET /api/v1/claims`, listClaims, refund-engine.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "listClaims",
            "GET",
            "/api/v1/claims",
            CLAIM_PAGE,
            params=given(
                limit=limit,
                offset=offset,
                status=status,
                product_category=product_category,
                sort_by=sort_by,
                sort_order=sort_order,
            ),
        )
        return Page(answer.value.data, answer.value.pagination.total, answer.as_of, answer.failure)

    async def claim(self, claim_id: str) -> Answer[ClaimRecord] | None:
        """One claim of anybody; None when there is none. `claim_id` is a UUID.

        Source: `GET /api/v1/claims/{id}`, getClaim, refund-engine.openapi.yaml.
        """
        return await self._claim("getClaim", "GET", f"/api/v1/claims/{path_id(claim_id)}")

    async def claim_by_case_number(self, case_number: str) -> Answer[ClaimRecord] | None:
        """One claim of anybody, by the number people see; None when there is none.

        Source: `GET /api/v1/claims/case/{caseNumber}`, getClaimByCaseNumber, refund-engine.openapi.yaml.
        """
        path = f"/api/v1/claims/case/{path_id(case_number)}"
        return await self._claim("getClaimByCaseNumber", "GET", path)

    async def create_claim(
        self,
        *,
        case_number: str,
        claim_amount: Decimal,
        customer_history_score: Decimal,
        product_category: str,
        days_since_purchase: int,
        claim_description: str | None = None,
    ) -> Answer[ClaimRecord]:
        """Record a claim of the viewer, PENDING.

        Args:
            case_number: 1 to 50 characters, unique among all sellers: what makes asking twice harmless.
            claim_amount: above 0, for 0 counts as missing; the engine rounds to two decimals.
            customer_history_score: 0 to 1; without it, or beyond 9.99, the engine answers 500.
            product_category: 1 to 100 characters.
            days_since_purchase: without it the engine answers 500.

        Raises:
            UpstreamConflict: the number is taken, whoever's it is; `claim_by_case_number` tells.
            UpstreamError: where `maybe_done`, the same read settles it. What its database refuses is a 500.

        Source: `POST /api/v1/claims`, createClaim, refund-engine.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "createClaim",
            "POST",
            "/api/v1/claims",
            CLAIM,
            body={
                "case_number": case_number,
                "claim_amount": format(claim_amount, "f"),
                "customer_history_score": number(customer_history_score),
                "product_category": product_category,
                "days_since_purchase": days_since_purchase,
                "claim_description": claim_description,
            },
        )
        return Answer(answer.value.data, answer.as_of)

    async def update_claim(self, claim_id: str, changes: ClaimChanges) -> Answer[ClaimRecord] | None:
        """Change a claim of anybody; None when there is none. `claim_id` is a UUID.

        Whoever calls this has made sure that the claim is the viewer's. The same values again change nothing,
        so a broken answer is asked for again.

        Raises:
            ValueError: a key that is not in `ClaimChanges`; nothing is sent.
            UpstreamError: where `maybe_done`, `claim` settles it.

        Source: `PUT /api/v1/claims/{id}`, updateClaim, refund-engine.openapi.yaml.
        """
        strangers = changes.keys() - ClaimChanges.__optional_keys__
        if strangers:
            raise ValueError(f"a claim has no {', '.join(sorted(strangers))} that may be changed")
        body: dict[str, object] = {**changes}
        if "claim_amount" in changes:
            body["claim_amount"] = format(changes["claim_amount"], "f")
        if "customer_history_score" in changes:
            body["customer_history_score"] = number(changes["customer_history_score"])
        return await self._claim("updateClaim", "PUT", f"/api/v1/claims/{path_id(claim_id)}", body)

    async def _claim(
        self, operation: str, method: str, path: str, body: object = None
    ) -> Answer[ClaimRecord] | None:
        try:
            answer = await self._upstream.call(
                self._caller, operation, method, path, CLAIM, body=body, idempotent=True, disguises=_NO_CLAIM
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def claims_found(self, text: str, *, limit: int) -> Page[ClaimRecord]:
        """The viewer's claims whose number, description or category contains `text`, newest first.

        Returns:
            0 to `limit` claims, not counted and not to be continued.

        Source: `GET /api/v1/claims/search`, searchClaims, refund-engine.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "searchClaims",
            "GET",
            "/api/v1/claims/search",
            CLAIMS_FOUND,
            params={"q": text, "limit": limit},
        )
        return Page(answer.value.data, None, answer.as_of, answer.failure)

    async def claim_stats(self) -> Answer[ClaimStatsRecord]:
        """Counters and sums over all claims of the viewer, since the beginning.

        Source: `GET /api/v1/claims/stats`, claimStats, refund-engine.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller, "claimStats", "GET", "/api/v1/claims/stats", CLAIM_STATS
        )
        return Answer(answer.value.data, answer.as_of)

    async def ledger_page(
        self, *, limit: int, offset: int = 0, claim_id: str | None = None
    ) -> Page[LedgerRecord]:
        """One page of the viewer's ledger, newest first; of one claim when `claim_id` is given.

        Source: `GET /api/v1/ledger`, listLedger, refund-engine.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "listLedger",
            "GET",
            "/api/v1/ledger",
            LEDGER_PAGE,
            params=given(limit=limit, offset=offset, case_id=claim_id),
        )
        return Page(answer.value.data, answer.value.pagination.total, answer.as_of, answer.failure)

    async def health(self) -> Answer[RefundEngineHealth]:
        """Source: `GET /health`, refundEngineHealth, refund-engine.openapi.yaml."""
        return await self._upstream.call(self._caller, "refundEngineHealth", "GET", "/health", HEALTH)
