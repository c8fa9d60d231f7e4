"""The timeline of a claim: its entries from three services, newest first."""

from collections.abc import Iterator
from typing import Any

from benchmarks.hand_written.rows import (
    Row,
    cents,
    cursor,
    global_id,
    optional_dollars,
    optional_time,
    time,
)

OUTCOME = {"pending": "PENDING", "completed": "SUCCEEDED", "failed": "FAILED", "success": "SUCCEEDED"}
RESOLUTION = {"approved": "SUCCEEDED", "rejected": "FAILED"}


def timeline(claim: Row, ledger: list[Row], filing: Row | None, charges: list[Row], as_of: str) -> Row:
    """The first page of it, as `CaseTimelinePage` asks."""
    entries = list(_entries(claim, ledger, filing, charges))
    entries.sort(key=lambda entry: (entry["occurredAt"], entry["id"]), reverse=True)
    page = entries[:50]
    return {
        "asOf": as_of,
        "totalCount": len(entries),
        "missingServices": [],
        "pageInfo": {
            "hasNextPage": len(entries) > len(page),
            "hasPreviousPage": False,
            "startCursor": cursor(0),
            "endCursor": cursor(len(page) - 1),
        },
        "edges": [{"cursor": cursor(position), "node": node} for position, node in enumerate(page)],
    }


def _entries(claim: Row, ledger: list[Row], filing: Row | None, charges: list[Row]) -> Iterator[Row]:
    def entry(kind: str, row_id: object, at: str | None, service: str, **more: Any) -> Row:
        return {
            "id": global_id("ClaimEvent", f"{claim['id']}:{kind}:{row_id}"),
            "type": kind,
            "occurredAt": at,
            "service": service,
            "outcome": more.get("outcome"),
            "note": more.get("note"),
            "amount": more.get("amount"),
        }

    yield entry("CREATED", claim["id"], time(claim["created_at"]), "refund-engine")
    if claim["updated_at"] > claim["created_at"]:
        yield entry("CHANGED", claim["id"], time(claim["updated_at"]), "refund-engine")
    for row in ledger:
        yield entry(
            f"LEDGER_{row['entry_type'].upper()}",
            row["id"],
            time(row["created_at"]),
            "refund-engine",
            outcome=OUTCOME[row["status"]],
            note=row["description"] or None,
            amount={"amount": row["amount"], "currencyCode": "USD"},
        )
    if filing:
        yield entry("SUBMISSION_OPENED", filing["id"], time(filing["created_at"]), "integrations")
        if filing["submission_date"]:
            yield entry("SUBMITTED", filing["id"], time(filing["submission_date"]), "integrations")
        if filing["resolution_date"]:
            yield entry(
                "RESOLVED",
                filing["id"],
                optional_time(filing["resolution_date"]),
                "integrations",
                outcome=RESOLUTION.get(filing["status"]),
                note=filing["resolution_notes"],
                amount=optional_dollars(filing["resolution_amount"], filing["currency"]),
            )
    for row in charges:
        for step in row["auditTrail"]:
            yield entry(
                "PAYMENT",
                step["id"],
                time(step["createdAt"]),
                "stripe",
                outcome=OUTCOME[step["status"]],
                amount=cents(row["amountRecoveredCents"], row["currency"]),
            )
