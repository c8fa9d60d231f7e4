"""The paperwork of one story: documents as cost docs keeps them, each with its whole audit log."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from bff.sandbox.files import CSV, PDF, PNG, XLSX, content_of
from bff.sandbox.story import Story, uuid_from
from bff.sandbox.world import Row
from bff.sandbox.writing import js_time

AGENT_ID = "a9e47000-0c00-4000-8000-000000000009"
"""Who attaches documents to sellers' claims on their behalf; nobody's seller."""

_FILES = {PDF: "pdf", PNG: "png", CSV: "csv", XLSX: "xlsx"}
_NAMES = ("invoice", "bill-of-lading", "packing-list", "receiving-scan", "cost-sheet", "carrier-statement")


def document_rows(story: Story, claim_id: str) -> list[Row]:
    """What proves one claim, 0 to 4 files; now and then an agent attached the first of them."""
    count = story.dice.choice((0, 1, 1, 2, 2, 3, 4)) if story.number else 3
    window = (
        story.updated_at - story.created_at if story.updated_at > story.created_at else timedelta(minutes=40)
    )
    return [
        document_row(
            story.dice,
            claim_id,
            story.sku,
            AGENT_ID if story.number % 8 == 3 and index == 0 else story.seller.user_id,
            story.created_at + window * (index + 1) / 6,
        )
        for index in range(count)
    ]


def document_row(dice: random.Random, claim_id: str, sku: str, uploaded_by: str, at: datetime) -> Row:
    """One file with its whole audit log, newest entry first."""
    file_type = dice.choice((PDF, PDF, PDF, PNG, PNG, CSV, XLSX))
    name = f"{dice.choice(_NAMES)}-{dice.randrange(100, 999)}.{_FILES[file_type]}"
    version = 2 if dice.random() < 0.1 else 1
    invoice = {"invoiceNumber": f"INV-{dice.randrange(10_000, 99_999)}"} if dice.random() < 0.85 else {}
    key = f"cost-documents/{at:%Y-%m-%d}/{claim_id}/{sku}/{uuid_from(dice)}_{name}"
    row: Row = {
        "id": uuid_from(dice),
        "claimId": claim_id,
        "skuId": sku,
        "fileKey": key,
        "originalName": name,
        "fileType": file_type,
        "fileSize": 0,
        "metadata": {"amount": dice.randrange(5, 400), **invoice},
        "version": version,
        "uploadedAt": js_time(at),
        "uploadedBy": uploaded_by,
        "isActive": True,
    }
    row["fileSize"] = len(content_of(row))
    details = {
        "skuId": sku,
        "claimId": claim_id,
        "fileKey": key,
        "fileSize": row["fileSize"],
        "originalName": name,
    }
    log = [_audit(dice, row, "UPLOAD", at + timedelta(milliseconds=30), details)]
    if version == 2:
        change = {"newVersion": 2, "oldVersion": 1, "metadataChanges": invoice}
        log.insert(0, _audit(dice, row, "VERSION_UPDATE", at + timedelta(seconds=95), change))
    row["auditLogs"] = log
    return row


def _audit(dice: random.Random, document: Row, action: str, at: datetime, details: Row) -> Row:
    return {
        "id": uuid_from(dice),
        "costDocId": document["id"],
        "action": action,
        "performedBy": document["uploadedBy"],
        "timestamp": js_time(at),
        "details": details,
    }
