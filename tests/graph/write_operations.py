"""Every stored mutation, with an input that it accepts in a given world, and what it then does there."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from read_operations import claims_of, detections_of

from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Row, Seller, World
from resolvers.global_ids import global_id

Input = dict[str, Any]


@dataclass(frozen=True)
class Mutation:
    """One stored mutation.

    Attributes:
        does: what the sandbox's book holds after it, once: (service, operation) in order.
        keyed: whether its input carries an idempotency key.
        settled: whether a lost answer can be found again.
        shown: the field of the payload that holds the result.
        input_in: an accepted input, without a key; None for a mutation without an input.
    """

    does: tuple[tuple[str, str], ...]
    keyed: bool
    settled: bool
    shown: str
    input_in: Callable[[World], Input] | None

    reads: str | None = None  # another service that is asked first

    @property
    def service(self) -> str:
        """The one that does the last of it."""
        return self.does[-1][0]

    @property
    def services(self) -> list[str]:
        """All that are asked."""
        asked = [self.reads, *(service for service, _ in self.does)]
        return [service for service in dict.fromkeys(asked) if service]

    def variables(self, world: World) -> dict[str, Any]:
        """Fresh variables for a world: keyed mutations get a new key."""
        if self.input_in is None:
            return {}
        key = {"idempotencyKey": str(uuid.uuid4())} if self.keyed else {}
        return {"input": self.input_in(world) | key}


def idle_detection(world: World, seller: Seller = SELLERS[0]) -> Row:
    """A finding for which no filing case was opened."""
    disputed = {row["detection_result_id"] for row in world.disputes.values()}
    return next(row for row in detections_of(world, seller) if row["id"] not in disputed)


def claim_to_file(world: World, seller: Seller = SELLERS[0]) -> Row:
    """A claim whose filing case waits to be handed in."""
    waiting = {row["case_number"] for row in world.disputes.values() if row["status"] == "pending"}
    return next(row for row in claims_of(world, seller) if row["case_number"] in waiting)


def uncharged_claim(world: World, seller: Seller = SELLERS[0]) -> Row:
    """A claim that was never charged."""
    return next(row for row in claims_of(world, seller) if row["id"] not in world.stripe_claim_ids)


def running_sync(world: World, seller: Seller = SELLERS[0]) -> Row:
    """A sync that has not ended."""
    rows = world.syncs.values()
    return next(row for row in rows if row["user_id"] == seller.user_id and row["status"] == "running")


def new_claim(**given: Any) -> Input:
    """What a claim needs, and what is given."""
    return {
        "claimedAmount": {"amount": "324.50"},
        "productCategory": "kitchen",
        "daysSincePurchase": 12,
        "customerHistoryScore": 0.8,
        "description": "Three units lost.",
    } | given


MUTATIONS: dict[str, Mutation] = {
    "CreateClaim": Mutation(
        does=(("integrations", "createDispute"), ("refund-engine", "createClaim")),
        keyed=True,
        settled=True,
        shown="claim",
        input_in=lambda world: new_claim(detectionId=global_id("Detection", idle_detection(world)["id"])),
    ),
    "UpdateClaim": Mutation(
        does=(("refund-engine", "updateClaim"),),
        keyed=False,
        settled=True,
        shown="claim",
        input_in=lambda world: {
            "claimId": global_id("Claim", claims_of(world, SELLERS[0])[0]["id"]),
            "claimedAmount": {"amount": "77.10"},
            "daysSincePurchase": 3,
        },
    ),
    "SubmitClaim": Mutation(
        does=(("integrations", "submitDispute"),),
        keyed=True,
        settled=True,
        shown="claim",
        reads="refund-engine",
        input_in=lambda world: {"claimId": global_id("Claim", claim_to_file(world)["id"])},
    ),
    "RunDetection": Mutation(
        does=(("integrations", "runDetection"),),
        keyed=True,
        settled=True,
        shown="detectionRun",
        input_in=lambda world: {"syncId": global_id("Sync", running_sync(world)["sync_id"])},
    ),
    "GenerateDocument": Mutation(
        does=(("cost-docs", "generateAuto"),),
        keyed=True,
        settled=False,
        shown="jobReference",
        reads="integrations",
        input_in=lambda world: {
            "detectionId": global_id("Detection", idle_detection(world)["id"]),
            "sku": "KIT-0042",
            "unitsLost": 3,
            "unitCost": {"amount": "12.30"},
        },
    ),
    "ChargeCommission": Mutation(
        does=(("stripe", "chargeCommission"),),
        keyed=True,
        settled=True,
        shown="payment",
        reads="refund-engine",
        input_in=lambda world: {
            "claimId": global_id("Claim", uncharged_claim(world)["id"]),
            "recoveredAmount": {"amount": "250.00", "currencyCode": "USD"},
        },
    ),
    "CreateCardSetup": Mutation(
        does=(("stripe", "createCustomerSetup"),),
        keyed=False,
        settled=False,
        shown="clientSecret",
        input_in=None,
    ),
    "ConnectIntegration": Mutation(
        does=(("integrations", "reconnectIntegration"),),
        keyed=False,
        settled=False,
        shown="authorizationUrl",
        input_in=lambda _: {"provider": "GMAIL", "reconnect": True},
    ),
    "DisconnectIntegration": Mutation(
        does=(("integrations", "disconnectIntegration"),),
        keyed=False,
        settled=True,
        shown="integration",
        input_in=lambda _: {"provider": "AMAZON"},
    ),
    "StartSync": Mutation(
        does=(("integrations", "startSync"),),
        keyed=True,
        settled=True,
        shown="sync",
        input_in=lambda _: {"kind": "FINANCIAL", "runDetection": False},
    ),
    "CancelSync": Mutation(
        does=(("integrations", "cancelSync"),),
        keyed=False,
        settled=True,
        shown="sync",
        input_in=lambda world: {"syncId": global_id("Sync", running_sync(world)["sync_id"])},
    ),
}
KEYED = [name for name, mutation in MUTATIONS.items() if mutation.keyed]


def done(writes: list[Any]) -> list[tuple[str, str]]:
    """What the sandbox's book holds, without the facts."""
    return [(write.service, write.operation) for write in writes]


def payload_of(answer: Any) -> dict[str, Any]:
    """The payload of a stored mutation, which asks one field."""
    [payload] = answer.data.values()
    return payload or {}


def codes_of(answer: Any) -> list[str]:
    """The codes of a payload's user errors."""
    return [error["code"] for error in payload_of(answer).get("userErrors", [])]
