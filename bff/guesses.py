"""How often one address may guess: tokens and keys that prove nothing, counted by where they come from.

An address that guessed too often is not listened to for a while: 429, and nothing that it shows is looked
at. But an address may be an office, or a proxy: a token that has proven somebody since our start is let in
all the same. A token that is missing or has expired is no guess.

Each replica counts alone, and in memory: addresses are many, and a guess at a signature is hopeless anyway.
"""

import hashlib
import ipaddress
import math
from collections import OrderedDict

from starlette.requests import HTTPConnection
from throttled import MemoryStore, RateLimiterType, Throttled, per_min

from bff.auth import Unauthenticated
from bff.rates import RateSettings

SOURCES_KEPT = 10_000
PROVEN_KEPT = 10_000  # tokens, as their SHA-256
IPV6_SITE_BITS = 64  # one customer has a whole /64, and may change addresses with every request


class TooManyGuesses(Unauthenticated):
    """From this address came too many tokens that prove nothing."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, retry_after_s: float) -> None:
        wait_s = max(1, math.ceil(retry_after_s))
        super().__init__(
            f"Too many tokens from your address proved nothing. Try again in {wait_s} s.", "too_many"
        )
        self.retry_after_ms = wait_s * 1000

    @property
    def headers(self) -> dict[str, str]:
        """When to come again."""
        assert self.retry_after_ms, "set at its birth"
        return {"retry-after": str(self.retry_after_ms // 1000)}


class Guesses:
    """Who may still guess."""

    def __init__(self, settings: RateSettings) -> None:
        self._mode = settings.mode
        self._bad = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=per_min(settings.bad_tokens_per_minute),
            store=MemoryStore(options={"MAX_SIZE": SOURCES_KEPT}),
        )
        self._proven: OrderedDict[bytes, None] = OrderedDict()

    def listen(self, connection: HTTPConnection, shown: str | None) -> None:
        """Look at what somebody shows, or not.

        Raises:
            TooManyGuesses: not now, and not from there.
        """
        if self._mode != "enforce":
            return
        state = self._bad.peek(_source(connection))
        if state.retry_after > 0 and not (shown and _hash(shown) in self._proven):
            raise TooManyGuesses(state.retry_after)

    def bad(self, connection: HTTPConnection) -> None:
        """Note that what was shown proved nothing."""
        if self._mode == "enforce":
            self._bad.limit(_source(connection))

    def good(self, shown: str | None) -> None:
        """Note that it proved who asks."""
        if shown and self._mode == "enforce":
            proven = _hash(shown)
            self._proven[proven] = None
            self._proven.move_to_end(proven)
            if len(self._proven) > PROVEN_KEPT:
                self._proven.popitem(last=False)


def _source(connection: HTTPConnection) -> str:
    host = connection.client.host if connection.client else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), IPV6_SITE_BITS), strict=False))
    return host


def _hash(shown: str) -> bytes:
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()
