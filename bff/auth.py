"""From a bearer token to the viewer it names.

The caller's token is verified once, here. It carries `user_id` (a UUID) and `exp`, and may carry `email`,
`name`, `scope` (words with spaces between) and `stripe_user_id`, stripe's integer for the same person.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from pydantic import SecretStr

from clients.caller import Viewer

LEEWAY_S = 30  # clocks of issuer and BFF may differ by so much
STRIPE_USER_ID_MAX = 2**31 - 1
CHALLENGE = {"www-authenticate": 'Bearer realm="opside"'}  # what a 401 says besides (RFC 9110, 11.6.1)

SCOPES = (
    "claims:read",
    "claims:submit",
    "claims:write",
    "detections:read",
    "detections:run",
    "documents:generate",
    "documents:read",
    "evidence:check",
    "faults:rehearse",
    "integrations:read",
    "integrations:write",
    "payments:charge",
    "payments:read",
    "payments:write",
)

_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class Unauthenticated(Exception):
    """No token, or one that proves nothing. The message is for the client, as it stands."""


class TokenExpired(Unauthenticated):
    """The token was good once: a new one helps."""

    def __init__(self) -> None:
        super().__init__("The token has expired. Sign in again.")


class Authenticator:
    """Verifies callers' tokens: HS256 with a shared secret."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def viewer(self, authorization: str | None) -> Viewer:
        """The viewer whom an `Authorization` header names.

        Raises:
            Unauthenticated: there is no token, or it is expired, or it was not issued for this API.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if not token.strip():
            raise Unauthenticated("Sign in first: send a token as `Authorization: Bearer …`.")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Send the token as `Authorization: Bearer …`.")
        try:
            claims = jwt.decode(
                token.strip(),
                self._secret.get_secret_value(),
                algorithms=["HS256"],
                leeway=LEEWAY_S,
                options={"require": ["exp", "user_id"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except jwt.InvalidTokenError:
            raise Unauthenticated("The token is not valid here. Sign in again.") from None
        return _viewer(claims)


class DevIssuer:
    """Issues tokens in development, where nobody else does."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def token(
        self,
        *,
        user_id: str,
        email: str | None,
        name: str | None,
        stripe_user_id: int | None,
        scopes: Iterable[str] = SCOPES,
        expires_in: timedelta = timedelta(hours=12),
    ) -> str:
        """A token for one seller; without a claim for what is None. `expires_in` may be negative."""
        claims = {
            "user_id": user_id,
            "email": email,
            "name": name,
            "stripe_user_id": stripe_user_id,
            "scope": " ".join(scopes),
            "exp": datetime.now(UTC) + expires_in,
        }
        given = {claim: value for claim, value in claims.items() if value is not None}
        return jwt.encode(given, self._secret.get_secret_value(), algorithm="HS256")


def _viewer(claims: dict[str, Any]) -> Viewer:
    user_id, scope = claims["user_id"], claims.get("scope", "")
    if not isinstance(user_id, str) or not _UUID.fullmatch(user_id) or not isinstance(scope, str):
        raise Unauthenticated("The token is not valid here. Sign in again.")
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (OSError, OverflowError, ValueError):  # beyond the calendar, as milliseconds are
        raise Unauthenticated("The token is not valid here. Sign in again.") from None
    return Viewer(
        user_id=user_id.lower(),
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        stripe_user_id=_stripe_user_id(claims.get("stripe_user_id")),
        scopes=frozenset(scope.split()),
        expires_at=expires_at,
    )


def _text(claim: object) -> str | None:
    return claim if isinstance(claim, str) and claim else None


def _stripe_user_id(claim: object) -> int | None:
    """Digits only, within 32 bits; anything else is no identity, and stripe is then not asked."""
    number = int(claim) if isinstance(claim, str) and _DIGITS.fullmatch(claim) else claim
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= STRIPE_USER_ID_MAX:
        return None
    return number
