"""The keys of whoever issues callers' tokens: read from its JWKS address, kept in memory, renewed.

A request whose key is known never waits for the issuer: keys are renewed beside the requests. A key that is
not known may have been made a moment ago: it is asked for once, for all who wait, and not again for five
seconds, so that made-up names cost the issuer nothing. While the issuer cannot be asked, the keys that we
hold go on.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = structlog.get_logger()

RENEW_EVERY_S = 300.0
UNKNOWN_EVERY_S = 5.0  # between two requests that unknown names cause
FETCH_LIMIT_S = 5.0
SET_BYTES_AT_MOST = 256 * 1024  # real ones, certificates included, stay below 32 KB
KEYS_AT_MOST = 100
RSA_BITS_AT_LEAST = 2048  # RFC 7518, section 3.3
RETRY_S_AT_MOST = 60.0

# What a key may verify, by its type and curve: a token that names another algorithm is refused, whatever its
# signature. A key that itself names an algorithm verifies this one only.
ALGORITHMS: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """What verifies a token's signature, and by which algorithms."""

    material: Any  # as PyJWT takes it: a public key, or the bytes of a shared secret
    algorithms: tuple[str, ...]


class UnusableKeys(Exception):
    """The issuer answered, and no key can be taken from it."""


class IssuerKeys:
    """The keys of one issuer, for the life of the process."""

    def __init__(
        self,
        url: str,
        base: httpx.AsyncBaseTransport,
        *,
        renew_every_s: float = RENEW_EVERY_S,
        on_fetch: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """
        Args:
            url: the issuer's JWKS address.
            base: the network; it follows no redirect and keeps no cookie.
            on_fetch: told of each fetch whether it brought keys.
        """
        self._url = url
        self._base = base
        self._renew_every_s = renew_every_s
        self._on_fetch = on_fetch
        self._keys: dict[str, VerifyingKey] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._failures = 0  # in a row
        self._fetched_at_s: float | None = None
        self._asked_for_unknown_at_s = float("-inf")

    def key(self, kid: object) -> VerifyingKey | None:
        """The key of this name, from memory; None when it is not known."""
        return self._keys.get(kid) if isinstance(kid, str) else None

    @property
    def failing(self) -> bool:
        """Whether the issuer could not be read the last time: an unknown key may be a good one."""
        return self._failures > 0

    @property
    def age_s(self) -> float | None:
        """Seconds since the keys were read; None before the first time."""
        return None if self._fetched_at_s is None else time.monotonic() - self._fetched_at_s

    async def learn(self, kid: str) -> None:
        """Ask the issuer for a key that is not known, unless it was asked for one just now.

        All who wait share one request. Nothing is raised: `key` tells whether it is known afterwards.
        """
        if kid in self._keys:
            return
        if self._fetching is None:
            if time.monotonic() - self._asked_for_unknown_at_s < UNKNOWN_EVERY_S:
                return
            self._asked_for_unknown_at_s = time.monotonic()
        await self.renew()

    async def renew(self) -> None:
        """Read the keys now, or wait for the reading that is under way. Nothing is raised."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        await asyncio.wait([self._fetching])  # a client that leaves does not take it from the others

    async def run(self) -> None:
        """Renew the keys for ever: every five minutes, and sooner after a failure."""
        while True:
            await asyncio.sleep(self._pause_s() * random.uniform(0.9, 1.1))  # noqa: S311  # replicas spread
            await self.renew()

    async def aclose(self) -> None:
        """Let go of the network."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._base.aclose()

    def _pause_s(self) -> float:
        if not self._failures:
            return self._renew_every_s
        return float(min(2.0 ** min(self._failures, 10), RETRY_S_AT_MOST, self._renew_every_s))

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):  # httpx bounds each read, not the whole answer
                keys = keys_in(await self._body())
        except (httpx.HTTPError, TimeoutError, UnusableKeys) as exc:
            self._failures += 1
            reason = str(exc) if isinstance(exc, UnusableKeys) else type(exc).__name__
            log.warning("issuer_keys.missed", reason=reason, failures=self._failures, kept=len(self._keys))
            self._on_fetch(False)
            return
        if keys.keys() != self._keys.keys():
            log.info("issuer_keys.changed", added=len(keys.keys() - self._keys.keys()), kept=len(keys))
        self._keys, self._failures, self._fetched_at_s = keys, 0, time.monotonic()
        self._on_fetch(True)

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _body(self) -> bytes:
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        timeouts = {"connect": FETCH_LIMIT_S, "read": FETCH_LIMIT_S}
        request = httpx.Request("GET", self._url, headers=headers, extensions={"timeout": timeouts})
        response = await self._base.handle_async_request(request)
        try:
            if response.status_code != 200:
                raise UnusableKeys(f"the issuer answered {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > SET_BYTES_AT_MOST:
                    raise UnusableKeys(f"the answer is longer than {SET_BYTES_AT_MOST} bytes")
            return bytes(body)
        finally:
            await response.aclose()


def keys_in(body: bytes) -> dict[str, VerifyingKey]:
    """The keys of a JWKS that may verify signatures, by their names; what cannot be used is passed over.

    Raises:
        UnusableKeys: there is none.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnusableKeys("the answer is not JSON") from None
    published = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(published, list) or len(published) > KEYS_AT_MOST:
        raise UnusableKeys(f"the answer is not a set of at most {KEYS_AT_MOST} keys")
    keys: dict[str, VerifyingKey] = {}
    for jwk in published:
        if isinstance(jwk, dict) and (key := _key_of(jwk)):
            keys.setdefault(jwk["kid"], key)
    if not keys:
        raise UnusableKeys("none of the keys can verify a token")
    return keys


def _key_of(jwk: dict[str, Any]) -> VerifyingKey | None:
    if (
        not isinstance(jwk.get("kid"), str) or not jwk["kid"] or "d" in jwk
    ):  # a private key is nobody's any more
        return None
    if jwk.get("use", "sig") != "sig" or "verify" not in _list(jwk.get("key_ops", ["verify"])):
        return None
    algorithms = ALGORITHMS.get((_text(jwk.get("kty")), _text(jwk.get("crv"))), ())
    if jwk.get("alg") is not None:
        algorithms = tuple(algorithm for algorithm in algorithms if algorithm == jwk["alg"])
    if not algorithms:
        return None
    try:
        material = jwt.PyJWK(jwk, algorithms[0]).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, TypeError, ValueError):
        return None
    if isinstance(material, RSAPublicKey) and material.key_size < RSA_BITS_AT_LEAST:
        return None
    return VerifyingKey(material, algorithms)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
