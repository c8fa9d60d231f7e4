"""A row of a service as the graph shows it: dicts in, dicts out."""

from base64 import b64encode
from datetime import datetime
from typing import Any

Row = dict[str, Any]

FILING = {
    "pending": "NOT_SUBMITTED",
    "submitted": "SUBMITTED",
    "approved": "APPROVED",
    "rejected": "REJECTED",
    "closed": "CLOSED",
}
FINDING = {
    "missing_unit": "LOST_UNITS",
    "overcharge": "OVERCHARGE",
    "damaged_stock": "DAMAGED_STOCK",
    "incorrect_fee": "INCORRECT_FEE",
    "duplicate_charge": "DUPLICATE_CHARGE",
}


def global_id(kind: str, key: object) -> str:
    return b64encode(f"{kind}:{key}".encode()).decode()


def cursor(position: int) -> str:
    return b64encode(f"offset:{position}".encode()).decode()


def time(text: str) -> str:
    """A time of a service as the graph writes it: in UTC, without needless zeros."""
    return datetime.fromisoformat(text).isoformat().replace("+00:00", "Z")


def optional_time(text: str | None) -> str | None:
    return None if text is None else time(text)


def dollars(amount: float, currency: str = "USD") -> Row:
    return {"amount": f"{amount:.2f}", "currencyCode": currency}


def optional_dollars(amount: float | None, currency: str) -> Row | None:
    return None if amount is None else dollars(amount, currency)


def cents(amount: int, currency: str) -> Row:
    return {"amount": f"{amount // 100}.{amount % 100:02d}", "currencyCode": currency.upper()}


def prediction(row: Row) -> Row | None:
    probability, confidence = row["ml_prediction"], row["ml_confidence"]
    if probability is None:
        return None
    return {
        "successProbability": float(probability),
        "confidence": None if confidence is None else float(confidence),
        "isPlaceholder": probability == confidence == "0.50",
    }


def claim(row: Row, as_of: str) -> Row:
    """What `ClaimRow` asks of a claim, in its order."""
    return {
        "id": global_id("Claim", row["id"]),
        "status": row["status"].upper(),
        "updatedAt": time(row["updated_at"]),
        "asOf": as_of,
        "caseNumber": row["case_number"],
        "productCategory": row["product_category"],
        "description": row["claim_description"],
        "createdAt": time(row["created_at"]),
        "claimedAmount": {"amount": row["claim_amount"], "currencyCode": "USD"},
        "prediction": prediction(row),
    }


def ten_fields(row: Row) -> Row:
    """The ten leaf fields of the long list."""
    return {
        "id": global_id("Claim", row["id"]),
        "status": row["status"].upper(),
        "updatedAt": time(row["updated_at"]),
        "caseNumber": row["case_number"],
        "productCategory": row["product_category"],
        "description": row["claim_description"],
        "createdAt": time(row["created_at"]),
        "daysSincePurchase": row["days_since_purchase"],
        "claimedAmount": {"amount": row["claim_amount"], "currencyCode": "USD"},
    }


def sixteen_fields(row: Row, as_of: str) -> Row:
    """The sixteen of the wide one."""
    return {
        **ten_fields(row),
        "customerHistoryScore": float(row["customer_history_score"]),
        "prediction": prediction(row),
        "asOf": as_of,
    }


def document(row: Row) -> Row:
    return {
        "id": global_id("Document", row["id"]),
        "fileName": row["originalName"],
        "contentType": row["fileType"],
        "sizeBytes": row["fileSize"],
        "sku": row["skuId"],
        "uploadedAt": time(row["uploadedAt"]),
    }


def finding(row: Row) -> Row:
    return {
        "id": global_id("Detection", row["id"]),
        "type": FINDING.get(row["anomaly_type"], "UNKNOWN"),
        "severity": row["severity"].upper(),
        "status": row["status"].upper(),
        "confidence": row["confidence_score"],
        "createdAt": time(row["created_at"]),
        "estimatedValue": dollars(row["estimated_value"], row["currency"]),
    }


def charge(row: Row) -> Row:
    currency = row["currency"]
    return {
        "id": global_id("Payment", row["id"]),
        "status": row["status"].upper(),
        "isPaidOut": is_paid_out(row),
        "createdAt": time(row["createdAt"]),
        "recoveredAmount": cents(row["amountRecoveredCents"], currency),
        "commissionAmount": cents(row["platformFeeCents"], currency),
        "payoutAmount": cents(row["sellerPayoutCents"], currency),
    }


def is_paid_out(row: Row) -> bool:
    return row["stripeTransferId"] is not None or row["status"] == "transferred"
