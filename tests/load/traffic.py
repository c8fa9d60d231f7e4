"""Traffic: so many operations a second, each by another seller, whether or not the last was answered."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bff_under_test import Bff

from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations


@dataclass
class Traffic:
    """What was sent, and what came back."""

    sent: int = 0
    lasted_s: float = 0.0
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return self.sent / self.lasted_s

    def codes(self) -> dict[str, int]:
        """Error code → how many answers have it."""
        counted: dict[str, int] = {}
        for answer in self.answers:
            for code in {error["extensions"]["code"] for error in answer.get("errors", [])}:
                counted[code] = counted.get(code, 0) + 1
        return counted


def somebody(bff: Bff) -> str:
    """A token of a seller nobody has seen: no answer of theirs is kept, none of their calls is shared."""
    return DevIssuer(bff.settings.jwt_secret).token(
        user_id=str(uuid.uuid4()), email=None, name=None, stripe_user_id=None
    )


async def ask_as(bff: Bff, token: str, operation: str) -> dict[str, Any]:
    """Send an operation that needs no variables: its text, or the name of a stored one."""
    response = await bff.http.post(
        "/graphql",
        json={"query": stored_operations().get(operation, operation)},
        headers={"authorization": f"Bearer {token}", "x-upstreams": "1"},
    )
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


async def send(
    bff: Bff, operation: str, *, per_s: float, for_s: float, until: Callable[[], bool] = lambda: False
) -> Traffic:
    """Send an operation at a steady rate, for a while or until something is so; then wait for the answers."""
    traffic = Traffic()
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:

        async def one() -> None:
            traffic.answers.append(await ask_as(bff, somebody(bff), operation))

        while (now_s := time.perf_counter() - began_s) < for_s and not until():
            while traffic.sent < now_s * per_s:  # what a busy machine was late with is made up for
                tasks.create_task(one())
                traffic.sent += 1
            await asyncio.sleep(1 / per_s)
        traffic.lasted_s = time.perf_counter() - began_s
    return traffic
