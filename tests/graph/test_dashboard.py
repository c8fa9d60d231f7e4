"""The main job: one nested query over six services."""


async def test_dashboard_stitches_all_services(bff):
    """The first screen in one answer, with data of every owner and no error."""
    answer = await bff.ask("Dashboard")

    assert (answer.status, answer.errors) == (200, [])
    dashboard = answer.data["dashboard"]
    assert dashboard["claimMetrics"]["totalCount"] == 60
    assert [len(dashboard["recentClaims"]["nodes"]), dashboard["health"]["totalCount"]] == [5, 6]
    assert sum(len(claim["documents"]["nodes"]) for claim in dashboard["recentClaims"]["nodes"]) > 0
    assert sum(len(claim["detections"]["nodes"]) for claim in dashboard["recentClaims"]["nodes"]) > 0
    assert sum(len(claim["payments"]["nodes"]) for claim in dashboard["recentClaims"]["nodes"]) > 0
    assert dashboard["paymentMetrics"]["totals"]
    assert dashboard["documentMetrics"]["totalCount"] > 0


async def test_dashboard_makes_twelve_calls(bff):
    """Five claims, their documents, findings and payments, and the figures: twelve upstream requests."""
    await bff.ask("Dashboard")

    assert bff.calls() == {"refund-engine": 2, "integrations": 3, "cost-docs": 6, "stripe": 1}


async def test_claim_survives_without_cost_docs(bff):
    """One upstream down costs its own fields and nothing else."""
    bff.sandbox.down.add("cost-docs")

    answer = await bff.ask("Dashboard", claimCount=2)

    claims = answer.data["dashboard"]["recentClaims"]["nodes"]
    assert [claim["documents"] for claim in claims] == [None, None]
    assert all(claim["payments"] is not None and claim["detections"] is not None for claim in claims)
    assert {
        (error["path"][-1], error["extensions"]["code"], error["extensions"]["service"])
        for error in answer.errors
    } == {
        ("documents", "SERVICE_UNAVAILABLE", "cost-docs"),
        ("documentMetrics", "SERVICE_UNAVAILABLE", "cost-docs"),
    }
