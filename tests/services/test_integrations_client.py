"""The integrations client: what it asks, and how it tells "none" from a failure that looks like it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from clients.errors import UpstreamFailed, UpstreamRejected, UpstreamUnavailable

INTEGRATIONS = "https://integrations.test"


@pytest.mark.parametrize(
    ("ask", "url", "name", "rows", "total"),
    [
        (lambda service: service.integrations(), "/api/v1/integrations/status", "009", 2, 2),
        (
            lambda service: service.disputes_page(limit=2, offset=2),
            "/api/enhanced-detection/disputes?limit=2&offset=2",
            "108",
            2,
            None,
        ),
        (
            lambda service: service.detections_page(limit=3),
            "/api/enhanced-detection/results?limit=3&offset=0",
            "044",
            3,
            None,
        ),
        (
            lambda service: service.detections_page(limit=3, offset=6, sync_id="sync-1", status="reviewed"),
            "/api/enhanced-detection/results?syncId=sync-1&status=reviewed&limit=3&offset=6",
            "044",
            3,
            None,
        ),
        (
            lambda service: service.syncs_page(limit=2, offset=1),
            "/api/v1/integrations/sync/history?limit=2&offset=1",
            "022",
            2,
            None,
        ),
    ],
)
async def test_list_is_one_request_with_known_parameters(
    as_ann, respx_router, asked, captured, ask, url, name, rows, total
):
    """Unknown parameters are ignored there; a list that is not counted may not claim a total."""
    body = captured("integrations", name)
    respx_router.get(host="integrations.test").respond(json=body)

    page = await ask(as_ann.integrations)

    assert asked() == [f"GET {INTEGRATIONS}{url}"]
    assert len(page.rows) == rows
    assert page.total == (body["data"]["total"] if "disputes" in url else total)


async def test_statistics_are_one_request(as_ann, respx_router, asked, captured):
    """Two dictionaries keyed by the owner's words: a word that is new there must not fail the rest."""
    body = captured("integrations", "048")
    body["data"]["by_severity"][" Brand-New "] = {"count": 1, "value": 0.1}
    respx_router.get(host="integrations.test").respond(json=body)

    statistics = (await as_ann.integrations.detection_statistics()).value

    assert asked() == [f"GET {INTEGRATIONS}/api/enhanced-detection/statistics"]
    assert (statistics.total_anomalies, statistics.total_value) == (40, Decimal(10800))
    assert statistics.by_severity["brand-new"].value == Decimal("0.1")


async def test_integration_never_synced_has_no_time(as_ann, respx_router, captured):
    """`lastSyncedAt` is absent, not null, for a connection that never synced."""
    respx_router.get(host="integrations.test").respond(json=captured("integrations", "009"))

    page = await as_ann.integrations.integrations()

    assert [(row.provider, row.status, row.last_synced_at) for row in page.rows] == [
        ("amazon", "active", datetime(2025, 9, 1, 10, tzinfo=UTC)),
        ("gmail", "expired", None),
    ]


async def test_sync_is_one_request(as_ann, respx_router, asked, captured):
    """The single read spells in camel what the list spells in snake; both are one record."""
    respx_router.get(host="integrations.test").respond(json=captured("integrations", "023"))

    answer = await as_ann.integrations.sync("sync-1")

    assert asked() == [f"GET {INTEGRATIONS}/api/v1/integrations/sync/status/sync-1"]
    assert (answer.value.sync_id, answer.value.total_steps, answer.value.created_at) == ("sync-1", 5, None)


@pytest.mark.parametrize("status", [500, 404])
async def test_missing_sync_is_none(as_ann, respx_router, status):
    """The service says 500 where it means "none"; a seller asking for an old sync is no outage."""
    respx_router.get(host="integrations.test").respond(
        status, json={"success": False, "message": "Sync not found"}
    )

    assert await as_ann.integrations.sync("gone") is None


@pytest.mark.parametrize("message", ["Sync was not found", "sync not found", "Sync not found.", "boom", ""])
async def test_changed_text_stays_a_failure(as_ann, respx_router, message):
    """If the service rewords its 500, we show an error and never invent "none"."""
    respx_router.get(host="integrations.test").respond(500, json={"success": False, "message": message})

    with pytest.raises(UpstreamFailed):
        await as_ann.integrations.sync("sync-1")


@pytest.mark.parametrize(("status", "kind"), [(503, UpstreamUnavailable), (400, UpstreamRejected)])
async def test_the_absent_text_means_nothing_with_another_status(as_ann, respx_router, status, kind):
    """Texts are compared only where the status lies."""
    respx_router.get(host="integrations.test").respond(status, json={"message": "Sync not found"})

    with pytest.raises(kind):
        await as_ann.integrations.sync("sync-1")


async def test_the_absent_text_means_nothing_elsewhere(as_ann, respx_router):
    """The disguise belongs to one call: the same text on a list is a failure."""
    respx_router.get(host="integrations.test").respond(
        500, json={"success": False, "message": "Sync not found"}
    )

    with pytest.raises(UpstreamFailed):
        await as_ann.integrations.syncs_page(limit=1)


@pytest.mark.parametrize(("sync_id", "segment"), [("../x", "..%2Fx"), ("a/b", "a%2Fb"), ("?", "%3F")])
async def test_sync_id_stays_one_path_segment(as_ann, respx_router, asked, sync_id, segment):
    """Sync ids are free text: unencoded, one could ask another route as this seller."""
    respx_router.get(host="integrations.test").respond(404, json={"message": "Sync not found"})

    assert await as_ann.integrations.sync(sync_id) is None
    assert asked() == [f"GET {INTEGRATIONS}/api/v1/integrations/sync/status/{segment}"]
