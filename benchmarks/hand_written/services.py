"""How the endpoint written by hand asks the services: one aiohttp session, a token per service, no model.

It has no retry, breaker, cache, deadline, queue, quota, health or log: what those cost is part of the ratio.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import aiohttp
import jwt
import orjson

from benchmarks.names import JWT_SECRET, SERVICE_SECRETS

TOKEN_LIFE_S = 60
TOKEN_RENEWED_S = 50
LIST_PAGE = 500  # as the BFF reads filing cases and findings
DOCUMENTS_AT_ONCE = 4  # as the BFF asks cost docs


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whom a caller's token names."""

    user_id: str
    email: str
    stripe_user_id: int


def viewer(authorization: str) -> Viewer:
    """The viewer of a verified token.

    Raises:
        jwt.PyJWTError: it proves nothing.
    """
    claims = jwt.decode(
        authorization.removeprefix("Bearer "),
        JWT_SECRET,
        algorithms=["HS256"],
        options={"require": ["exp", "user_id"]},
    )
    return Viewer(claims["user_id"], claims["email"], claims["stripe_user_id"])


@lru_cache(maxsize=4096)
def _service_token(service: str, who: Viewer, period: int) -> str:
    claims: dict[str, Any] = {
        "exp": period * TOKEN_RENEWED_S + TOKEN_LIFE_S,
        "email": who.email,
        "role": "user",
    }
    claims |= {"userId": who.stripe_user_id} if service == "stripe" else {"id": who.user_id}
    return jwt.encode(claims, SERVICE_SECRETS[service], algorithm="HS256")


class Services:
    """The services, for the life of the process."""

    def __init__(self, ports: Mapping[str, int], stripe_claim_ids: Mapping[str, int]) -> None:
        self._ports = ports
        self.stripe_claim_ids = stripe_claim_ids  # rows never change, so they are kept in memory
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=1000)
        )

    async def get(self, who: Viewer, service: str, target: str) -> tuple[Any, str]:
        """The parsed body, and when it was received as the graph writes it.

        Raises:
            aiohttp.ClientError: no answer, or not 2xx.
        """
        token = _service_token(service, who, int(time.time()) // TOKEN_RENEWED_S)
        async with self._session.get(
            f"http://127.0.0.1:{self._ports[service]}{target}",
            headers={"accept": "application/json", "authorization": f"Bearer {token}"},
            raise_for_status=True,
        ) as answer:
            body = await answer.read()
        return _read(body), time_text(datetime.now(UTC))

    async def claims(self, who: Viewer, limit: int, offset: int, sort: str) -> tuple[Any, str]:
        """One page of claims."""
        target = f"/api/v1/claims?limit={limit}&offset={offset}&sort_by={sort}&sort_order=DESC"
        return await self.get(who, "refund-engine", target)

    async def filings(self, who: Viewer) -> tuple[dict[str, Any], str]:
        """All filing cases by case number."""
        found, as_of = await self.get(
            who, "integrations", f"/api/enhanced-detection/disputes?limit={LIST_PAGE}&offset=0"
        )
        assert found["data"]["total"] <= LIST_PAGE, "the benchmark's sellers have fewer"
        return {row["case_number"]: row for row in found["data"]["cases"]}, as_of

    async def findings(self, who: Viewer) -> tuple[dict[str, Any], str]:
        """All findings by id."""
        found, as_of = await self.get(
            who, "integrations", f"/api/enhanced-detection/results?limit={LIST_PAGE}&offset=0"
        )
        assert len(found["data"]) < LIST_PAGE, "the benchmark's sellers have fewer"
        return {row["id"]: row for row in found["data"]}, as_of

    async def charges(self, who: Viewer) -> tuple[list[Any], str]:
        """All charges, newest first."""
        found, as_of = await self.get(
            who, "stripe", f"/api/v1/stripe/transactions/{who.stripe_user_id}?limit=100&page=1"
        )
        assert found["data"]["pagination"]["total"] <= 100, "the benchmark's sellers have fewer"
        rows: list[Any] = found["data"]["transactions"]
        return rows, as_of

    async def documents(self, who: Viewer, claim_ids: list[str]) -> list[tuple[Any, str]]:
        """The documents of each of some claims."""
        places = asyncio.Semaphore(DOCUMENTS_AT_ONCE)

        async def of(claim_id: str) -> tuple[Any, str]:
            async with places:
                found, as_of = await self.get(
                    who, "cost-docs", f"/api/v1/cost-docs/claim/{claim_id}?page=1&limit=100"
                )
                return found["data"], as_of

        return await asyncio.gather(*map(of, claim_ids))

    async def aclose(self) -> None:
        await self._session.close()


def time_text(at: datetime) -> str:
    """A time in UTC as the graph writes it."""
    return at.isoformat().replace("+00:00", "Z")


def _read(body: bytes) -> Any:
    return orjson.loads(body)
