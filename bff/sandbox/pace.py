"""The pace of a sync and of the search that follows: by the clock, one step after the other.

A sync has five steps; each takes ``World.sync_step_s``. A search is queued a second after it was asked for,
and done two steps later. It finds nothing: the rules are placeholders, and storing what they yield fails.
"""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bff.sandbox.story import epoch_ms, tail
from bff.sandbox.writing import js_time, now, pg_time, to_ms

if TYPE_CHECKING:
    from bff.sandbox.world import Row, World

STEPS = (
    "Fetch Amazon Claims",
    "Link MCDE Documents",
    "Create Ledger Entries",
    "Process Stripe Transactions",
    "Finalize Cases",
)
_UNTIL_SEARCH = timedelta(seconds=1)
_STEPS_OF_A_SEARCH = 2
_GOING_ON = ("pending", "detection_queued")
_CHANCE = random.SystemRandom()


def begin(world: World, user_id: str, kind: str, *, search: bool) -> Row:
    """Start a sync at step 1, and have a search follow if wanted."""
    at = now()
    row: Row = {
        "id": str(uuid.uuid4()),
        "user_id": user_id,
        "sync_id": f"sync-{epoch_ms(at)}-{tail(_CHANCE, 9)}",
        "total_steps": len(STEPS),
        "status": "running",
        **_standing(1),
        "metadata": {"sync_type": kind, "detection_enabled": search, "started_at": js_time(at)},
        "created_at": pg_time(at),
        "updated_at": pg_time(at),
        "detectionPipelineStatus": "pending",
        "disputeCasesCreated": 0,
    }
    world.syncs[row["sync_id"]] = row
    world.sync_starts[row["sync_id"]] = at
    if search:
        fire(world, user_id, row["sync_id"], at + _UNTIL_SEARCH)
    return row


def fire(world: World, seller_id: str, sync_id: str, fired_at: datetime) -> None:
    """Have a sync searched; a second time, its state can no longer be told: the lookup expects one row."""
    trigger = {"seller_id": seller_id, "sync_id": sync_id, "fired_at": fired_at, "status": "pending"}
    row = world.syncs.get(sync_id, {})
    owned = [known for known in world.triggers if known["seller_id"] == row.get("user_id")]
    is_known = any(known["sync_id"] == sync_id for known in owned)
    if not is_known and row.get("detectionPipelineStatus", "pending") != "pending":
        # The seed has had it searched, and kept what came of it only.
        past = {"seller_id": row["user_id"], "status": row["detectionPipelineStatus"]}
        world.triggers.append({**trigger, **past})
    world.triggers.append(trigger)
    move_on(world)


def move_on(world: World) -> None:
    """Bring every sync and search to where the clock says they are."""
    at = now()
    step = timedelta(seconds=world.sync_step_s)
    for sync_id, started_at in list(world.sync_starts.items()):
        row = world.syncs[sync_id]
        taken = len(STEPS) if not step else int((at - started_at) / step)
        if row["status"] != "running":
            del world.sync_starts[sync_id]
        elif taken >= len(STEPS):
            _end(row, "completed", started_at + len(STEPS) * step)
            del world.sync_starts[sync_id]
        elif taken >= row["step"]:
            changed_at = started_at + taken * step
            result = {"step": taken, "success": True, "updatedAt": js_time(changed_at)}
            row.update(_standing(taken + 1), metadata=result, updated_at=pg_time(to_ms(changed_at)))
    for trigger in world.triggers:
        if trigger["status"] not in _GOING_ON:
            continue
        if at >= trigger["fired_at"] + _STEPS_OF_A_SEARCH * step:
            trigger["status"] = "detection_completed"
        elif at >= trigger["fired_at"]:
            trigger["status"] = "detection_queued"
    _look_up(world)


def finish(world: World, status: str) -> None:
    """Bring everything that runs to its end at once; see ``World.finish_syncs``."""
    move_on(world)
    for row in world.syncs.values():
        if row["status"] == "running":
            _end(row, status, now())
    for trigger in world.triggers:
        if trigger["status"] in _GOING_ON:
            trigger["status"] = "detection_completed"
    world.sync_starts.clear()
    _look_up(world)


def _standing(step: int) -> dict[str, Any]:
    return {"step": step, "current_step": STEPS[step - 1], "progress": step * 100 // len(STEPS)}


def _end(row: Row, status: str, at: datetime) -> None:
    trouble = {"error": "Amazon did not answer in time", "message": "Failed to finalize cases"}
    result = {
        "step": len(STEPS),
        "success": status == "completed",
        **(trouble if status == "failed" else {}),
        "updatedAt": js_time(at),
    }
    row.update(_standing(len(STEPS)), status=status, metadata=result, updated_at=pg_time(to_ms(at)))


def _look_up(world: World) -> None:
    """Tell the state of each sync's search as the service does: of the one trigger, or "pending"."""
    found: dict[str, list[Row]] = {}
    for trigger in world.triggers:
        row = world.syncs.get(trigger["sync_id"])
        if row is not None and row["user_id"] == trigger["seller_id"]:
            found.setdefault(trigger["sync_id"], []).append(trigger)
    for sync_id, triggers in found.items():
        status = triggers[0]["status"] if len(triggers) == 1 else "pending"
        world.syncs[sync_id]["detectionPipelineStatus"] = status
