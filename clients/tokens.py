"""The short-lived token that each service is shown, in the words that service reads.

No caller's token is handed on: the services share neither a secret nor a claim name, and the refund
engine would answer a caller's token with empty lists, an outage that looks like a new seller.
"""

import time
from functools import lru_cache

import jwt
from pydantic import SecretStr

from clients.caller import Viewer
from clients.errors import PaymentsIdentityMissing

LIFE_S = 60
RENEW_BEFORE_END_S = 10
MINTED_KEPT = 4096  # per service; a token is about 300 bytes


class TokenMint:
    """Mints HS256 tokens for one service. Each lives 60 s and is reused until 10 s before its end."""

    def __init__(self, upstream: str, secret: SecretStr) -> None:
        self._upstream = upstream
        self._secret = secret
        self._minted = lru_cache(maxsize=MINTED_KEPT)(self._mint)

    def token(self, viewer: Viewer) -> str:
        """The viewer's token for this service.

        Raises:
            PaymentsIdentityMissing: stripe, and the viewer has no integer id there.
        """
        period = int(time.time()) // (LIFE_S - RENEW_BEFORE_END_S)
        return self._minted(viewer.user_id, viewer.email, viewer.stripe_user_id, period)

    def _mint(self, user_id: str, email: str | None, stripe_user_id: int | None, period: int) -> str:
        issued_at = period * (LIFE_S - RENEW_BEFORE_END_S)
        claims: dict[str, object] = {"iat": issued_at, "exp": issued_at + LIFE_S, "email": email or ""}
        if self._upstream == "stripe":
            if stripe_user_id is None:
                raise PaymentsIdentityMissing(self._upstream, "mintToken")
            claims |= {"userId": stripe_user_id, "role": "user"}
        elif self._upstream == "integrations":
            claims |= {"id": user_id}
        else:
            claims |= {"id": user_id, "role": "user"}
        return jwt.encode(claims, self._secret.get_secret_value(), algorithm="HS256")
