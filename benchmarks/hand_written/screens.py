"""The screens: what each asks of the services, side by side where it can, and how the answers are joined."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.hand_written.figures import claim_figures, finding_figures, health, totals
from benchmarks.hand_written.rows import (
    FILING,
    Row,
    charge,
    claim,
    cursor,
    document,
    finding,
    global_id,
    optional_dollars,
    optional_time,
    sixteen_fields,
    ten_fields,
)
from benchmarks.hand_written.services import Services, Viewer, time_text
from benchmarks.hand_written.timeline import timeline

PAGE = 100
WINDOW = timedelta(days=30)


async def recoveries(services: Services, who: Viewer, count: int) -> Row:
    """The list of claims with their submission, findings and charges: four calls."""
    (found, as_of), (filings, filed_at), (findings, found_at), (charges, charged_at) = await asyncio.gather(
        services.claims(who, count, 0, "created_at"),
        services.filings(who),
        services.findings(who),
        services.charges(who),
    )
    of_claim = _by_claim(charges)
    edges = []
    for position, row in enumerate(found["data"]):
        filing = filings.get(row["case_number"])
        node = claim(row, as_of)
        status = FILING[filing["status"]] if filing else "NOT_OPENED"
        node["submission"] = {
            "status": status,
            "canSubmit": status == "NOT_SUBMITTED",
            "expectedPayoutAt": optional_time(filing["expected_paid_date"]) if filing else None,
            "asOf": filed_at,
        }
        node["detections"] = {"asOf": min(filed_at, found_at), "nodes": _findings(filing, findings)}
        mine = of_claim.get(services.stripe_claim_ids.get(row["id"]), [])
        node["payments"] = {"asOf": charged_at, "nodes": [charge(each) for each in mine[:3]]}
        edges.append({"cursor": cursor(position), "node": node})
    page = _page(len(edges), found["pagination"]["total"])
    return {"claims": {"asOf": as_of, **page, "edges": edges}}


async def dashboard(services: Services, who: Viewer, count: int, checked_at: str) -> Row:
    """The first screen: seven calls, and one more for each claim shown."""
    start = datetime.now(UTC) - WINDOW

    async def with_documents() -> tuple[Any, str, list[tuple[Any, str]]]:
        found, as_of = await services.claims(who, count, 0, "updated_at")
        return found, as_of, await services.documents(who, [row["id"] for row in found["data"]])

    (
        (stats, stats_at),
        (charges, charged_at),
        (figures, figures_at),
        (overview, overview_at),
        (found, as_of, documents),
        ((filings, filed_at), (findings, found_at)),
    ) = await asyncio.gather(
        services.get(who, "refund-engine", "/api/v1/claims/stats"),
        services.charges(who),
        services.get(who, "integrations", "/api/enhanced-detection/statistics"),
        services.get(who, "cost-docs", "/api/v1/cost-docs/stats/overview"),
        with_documents(),
        asyncio.gather(services.filings(who), services.findings(who)),
    )
    of_claim = _by_claim(charges)
    nodes = []
    for row, (held, held_at) in zip(found["data"], documents, strict=True):
        node = claim(row, as_of)
        node["documents"] = {
            "asOf": held_at,
            "totalCount": held["total"],
            "nodes": [document(each) for each in held["documents"][:3]],
        }
        filing = filings.get(row["case_number"])
        node["detections"] = {"asOf": min(filed_at, found_at), "nodes": _findings(filing, findings)}
        mine = of_claim.get(services.stripe_claim_ids.get(row["id"]), [])
        node["payments"] = {"asOf": charged_at, "nodes": [charge(each) for each in mine[:3]]}
        nodes.append(node)
    return {
        "dashboard": {
            "claimMetrics": claim_figures(stats["data"], stats_at),
            "paymentMetrics": {
                "asOf": charged_at,
                "coversSince": time_text(start),
                "totals": totals(charges, start.isoformat()),
            },
            "detectionMetrics": finding_figures(figures["data"], figures_at),
            "documentMetrics": {"asOf": overview_at, "totalCount": overview["data"]["totalDocuments"]},
            "recentClaims": {"asOf": as_of, "totalCount": found["pagination"]["total"], "nodes": nodes},
            "health": health(checked_at),
        }
    }


async def one_claim(services: Services, who: Viewer, claim_id: str) -> Row:
    """One claim with all that is known of it: six calls."""
    (
        (found, as_of),
        (ledger, ledger_at),
        (filings, filed_at),
        (findings, found_at),
        (charges, charged_at),
        [(held, held_at)],
    ) = await asyncio.gather(
        services.get(who, "refund-engine", f"/api/v1/claims/{claim_id}"),
        services.get(who, "refund-engine", f"/api/v1/ledger?limit=500&offset=0&case_id={claim_id}"),
        services.filings(who),
        services.findings(who),
        services.charges(who),
        services.documents(who, [claim_id]),
    )
    row = found["data"]
    assert row["user_id"] == who.user_id, "the engine shows anybody's claim"
    filing = filings.get(row["case_number"])
    mine = _by_claim(charges).get(services.stripe_claim_ids.get(claim_id), [])
    node = claim(row, as_of)
    node["daysSincePurchase"] = row["days_since_purchase"]
    node["customerHistoryScore"] = float(row["customer_history_score"])
    node["submission"] = _submission(filing, filed_at)
    oldest = min(ledger_at, filed_at, charged_at)
    node["timeline"] = timeline(row, ledger["data"], filing, mine, oldest)
    node["detections"] = {"asOf": min(filed_at, found_at), "nodes": _findings(filing, findings)}
    node["documents"] = {
        "asOf": held_at,
        "totalCount": held["total"],
        "nodes": [document(each) for each in held["documents"][:20]],
    }
    node["payments"] = {"asOf": charged_at, "nodes": [charge(each) for each in mine[:20]]}
    return {"claim": node}


async def long_list(services: Services, who: Viewer, rows: int) -> Row:
    """Rows of ten fields, a hundred from each call."""
    pages = await asyncio.gather(
        *(services.claims(who, min(PAGE, rows), offset, "created_at") for offset in range(0, rows, PAGE))
    )
    return {
        f"p{number}": {"nodes": [ten_fields(row) for row in found["data"]]}
        for number, (found, _) in enumerate(pages)
    }


async def fields_of(services: Services, who: Viewer, which: str) -> Row:
    """A hundred rows from one call: of the page alone, one field, ten, or sixteen of each six times over."""
    found, as_of = await services.claims(who, PAGE, 0, "created_at")
    rows = found["data"]
    if which == "page":
        total = found["pagination"]["total"]
        return {"claims": {"asOf": as_of, **_page(len(rows), total)}}
    if which == "ids":
        return {"claims": {"nodes": [{"id": global_id("Claim", row["id"])} for row in rows]}}
    if which == "ten":
        return {"claims": {"nodes": [ten_fields(row) for row in rows]}}
    answer: Row = {"nodes": [sixteen_fields(row, as_of) for row in rows]}
    for number in range(5):
        answer[f"e{number}"] = [
            {"cursor": cursor(position), "node": sixteen_fields(row, as_of)}
            for position, row in enumerate(rows)
        ]
    return {"claims": answer}


def _page(count: int, total: int) -> Row:
    return {
        "totalCount": total,
        "isTruncated": False,
        "pageInfo": {
            "hasNextPage": count < total,
            "hasPreviousPage": False,
            "startCursor": cursor(0),
            "endCursor": cursor(count - 1),
        },
    }


def _by_claim(charges: list[Row]) -> dict[int | None, list[Row]]:
    of_claim = defaultdict(list)
    for row in charges:
        if row["claimId"] is not None:
            of_claim[row["claimId"]].append(row)
    return of_claim


def _findings(filing: Row | None, findings: dict[str, Row]) -> list[Row]:
    row = findings.get(filing["detection_result_id"]) if filing else None
    return [finding(row)] if row else []


def _submission(filing: Row | None, as_of: str) -> Row:
    filing = filing or {}
    currency = filing.get("currency", "USD")
    status = FILING[filing["status"]] if filing else "NOT_OPENED"
    return {
        "status": status,
        "canSubmit": status == "NOT_SUBMITTED",
        "providerCaseId": filing.get("provider_case_id"),
        "submittedAt": optional_time(filing.get("submission_date")),
        "resolvedAt": optional_time(filing.get("resolution_date")),
        "resolvedAmount": optional_dollars(filing.get("resolution_amount"), currency),
        "resolutionNotes": filing.get("resolution_notes"),
        "expectedAmount": optional_dollars(filing.get("expected_amount"), currency),
        "expectedPayoutAt": optional_time(filing.get("expected_paid_date")),
        "asOf": as_of,
    }
