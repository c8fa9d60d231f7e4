"""Figures of the first screen, and the health of the services, as the graph shows them."""

from collections import defaultdict

from benchmarks.hand_written.rows import Row, cents, dollars, global_id, is_paid_out

WITHOUT_MONEY = {"failed", "cancelled", "refunded"}
GRAVEST_FIRST = ("critical", "high", "medium", "low")
SERVICES_SHOWN = (
    ("refund-engine", "Refund Engine"),
    ("integrations", "Integrations"),
    ("cost-docs", "Cost Documentation"),
    ("stripe", "Stripe Payments"),
    ("mcde", "Manufacturing Cost Documents"),
    ("predictor", "FBA Predictor"),
)


def claim_figures(stats: Row, as_of: str) -> Row:
    total, pending, processing, approved, rejected = (
        int(stats[name]) for name in ("total", "pending", "processing", "approved", "rejected")
    )
    paid = total - pending - processing - approved - rejected
    won = approved + paid
    decided = won + rejected
    average = stats["avg_prediction"]
    return {
        "asOf": as_of,
        "totalCount": total,
        "pendingCount": pending,
        "processingCount": processing,
        "approvedCount": approved,
        "rejectedCount": rejected,
        "paidCount": paid,
        "successRate": won / decided if decided else None,
        "averageSuccessProbability": None if average is None else float(average),
        "claimedAmount": {"amount": stats["total_amount"] or "0.00", "currencyCode": "USD"},
    }


def totals(charges: list[Row], start: str) -> list[Row]:
    of_currency = defaultdict(list)
    for row in charges:
        if row["createdAt"] >= start:
            of_currency[row["currency"]].append(row)
    totals = []
    for currency, rows in of_currency.items():
        moved = [row for row in rows if row["status"] not in WITHOUT_MONEY]
        recovered = sum(row["amountRecoveredCents"] for row in moved)
        paid_out = sum(row["sellerPayoutCents"] for row in moved if is_paid_out(row))
        shown = {
            "count": len(rows),
            "recoveredAmount": cents(recovered, currency),
            "commissionAmount": cents(sum(row["platformFeeCents"] for row in moved), currency),
            "payoutAmount": cents(sum(row["sellerPayoutCents"] for row in moved), currency),
            "paidOutAmount": cents(paid_out, currency),
        }
        totals.append((recovered, shown))
    return [shown for _, shown in sorted(totals, key=lambda total: total[0], reverse=True)]


def finding_figures(figures: Row, as_of: str) -> Row:
    by_severity = figures["by_severity"]
    return {
        "asOf": as_of,
        "totalCount": figures["total_anomalies"],
        "openedCaseCount": figures["dispute_cases"],
        "estimatedValue": dollars(figures["total_value"]),
        "bySeverity": [
            {"severity": severity.upper(), "count": by_severity[severity]["count"]}
            for severity in GRAVEST_FIRST
            if by_severity.get(severity, {}).get("count")
        ],
    }


def health(checked_at: str) -> Row:
    """What a monitor would have found; there is none here."""
    return {
        "status": "HEALTHY",
        "healthyCount": len(SERVICES_SHOWN),
        "totalCount": len(SERVICES_SHOWN),
        "checkedAt": checked_at,
        "services": [
            {
                "id": global_id("ServiceHealth", name),
                "name": name,
                "displayName": display_name,
                "status": "HEALTHY",
                "reason": None,
                "circuitState": "CLOSED",
                "responseTimeMs": 1.0,
                "consecutiveFailureCount": 0,
                "lastCheckedAt": checked_at,
                "lastHealthyAt": checked_at,
            }
            for name, display_name in SERVICES_SHOWN
        ],
    }
