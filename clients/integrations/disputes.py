"""Disputes: the filing of one finding with Amazon."""

from decimal import Decimal

from pydantic import TypeAdapter

from clients.addresses import path_id
from clients.chain.question import Disguise
from clients.errors import CaseNotSubmittable, UpstreamConflict, UpstreamNotFound
from clients.integrations.asking import Asking, Data
from clients.records import Decimal15, Int32, Record, Rows, UtcTime, UuidText, Word, number
from clients.transport import Answer, Page

# Filing asks the provider, and opening may file at once by the owner's rules: giving up early proves nothing.
FILING_TIMEOUT_S = 4.0

_CANNOT_OPEN = (
    Disguise(500, r".*dispute_cases_detection_result_id_fkey.*", UpstreamNotFound),
    Disguise(500, r".*dispute_cases_detection_result_id_key.*", UpstreamConflict),
)
_CANNOT_SUBMIT = (
    Disguise(500, r"Case cannot be submitted in status: .*", CaseNotSubmittable),
    Disguise(500, r".*JSON object requested, multiple \(or no\) rows returned", UpstreamNotFound),
    Disguise(403, r"Access denied", UpstreamNotFound),  # another seller's; other 403 are about the token
)


class DisputeRecord(Record):
    """The filing of one finding with Amazon. At most one per finding; its number joins it to a claim."""

    id: UuidText
    seller_id: str
    detection_result_id: UuidText
    case_number: str
    status: Word
    currency: str
    submission_date: UtcTime | None
    resolution_date: UtcTime | None
    resolution_amount: Decimal15 | None
    resolution_notes: str | None
    provider_case_id: str | None
    expected_amount: Decimal15 | None
    expected_paid_date: UtcTime | None
    created_at: UtcTime


class _Disputes(Record):
    cases: Rows[DisputeRecord]
    total: Int32


DISPUTES = TypeAdapter(Data[_Disputes])
DISPUTE = TypeAdapter(Data[DisputeRecord])


class Disputes(Asking):
    """What one caller can ask about filing cases."""

    async def disputes_page(self, *, limit: int, offset: int = 0) -> Page[DisputeRecord]:
        """One page of the viewer's filing cases, newest first, with the count of all.

        Source: `GET /api/enhanced-detection/disputes`, listDisputes, integrations.openapi.yaml.
        """
        answer = await self._get(
            "listDisputes", "/api/enhanced-detection/disputes", DISPUTES, limit=limit, offset=offset
        )
        return Page(answer.value.data.cases, answer.value.data.total, answer.as_of, answer.failure)

    async def open_dispute(
        self, *, detection_id: str, claim_amount: Decimal, currency: str
    ) -> Answer[DisputeRecord] | None:
        """Open the filing case of a finding; None when there is no such finding.

        It does not ask whose the finding is: whoever calls this has made sure that it is the viewer's.

        Args:
            claim_amount: above 0, for 0 counts as missing.
            currency: ISO 4217, upper case.

        Returns:
            The case, with the number that joins it to a claim. Usually "pending"; rules of the owner may have
            filed or decided it at once.

        Raises:
            UpstreamConflict: the finding has a case already; `disputes_page` shows it.
            UpstreamError: where `maybe_done`, `disputes_page` settles it.

        Source: `POST /api/enhanced-detection/disputes`, createDispute, integrations.openapi.yaml. What its
        database refuses is a 500 there that names the constraint.
        """
        try:
            answer = await self._upstream.call(
                self._caller,
                "createDispute",
                "POST",
                "/api/enhanced-detection/disputes",
                DISPUTE,
                body={
                    "detectionResultId": detection_id,
                    "caseType": "amazon_fba",
                    "claimAmount": number(claim_amount),
                    "currency": currency,
                },
                timeout_s=FILING_TIMEOUT_S,
                disguises=_CANNOT_OPEN,
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def submit_dispute(self, dispute_id: str) -> Answer[DisputeRecord] | None:
        """File a case of the viewer with its provider; None when there is none, or it is another seller's.

        Raises:
            CaseNotSubmittable: it is not "pending" any more; `disputes_page` shows what it is.
            UpstreamError: where `maybe_done`, the same read settles it.

        Source: `POST /api/enhanced-detection/disputes/{id}/submit`, submitDispute, integrations.openapi.yaml.
        """
        try:
            answer = await self._upstream.call(
                self._caller,
                "submitDispute",
                "POST",
                f"/api/enhanced-detection/disputes/{path_id(dispute_id)}/submit",
                DISPUTE,
                body={},
                timeout_s=FILING_TIMEOUT_S,
                disguises=_CANNOT_SUBMIT,
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)
