"""From a bearer token to the viewer it names.

The caller's token is verified once, here. It carries `user_id` (a UUID) and `exp`, and may carry `email`,
`name`, `scope` (words with spaces between) and `stripe_user_id`, stripe's integer for the same person. It is
signed with a secret that its issuer shares with us (HS256), or with a key that its issuer publishes
(`clients/jwks.py`).
"""

import base64
import contextlib
import functools
import json
import re
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jwt
from pydantic import SecretStr

from clients.caller import Viewer
from clients.jwks import IssuerKeys, VerifyingKey

LEEWAY_S = 30  # clocks of issuer and BFF may differ by so much
STRIPE_USER_ID_MAX = 2**31 - 1
TOKEN_CHARS_AT_MOST = 8192  # before anything is parsed; what proxies pass on as one header
TOKEN_TYPES = ("jwt", "at+jwt")  # an access token: not a logout or an event that the same issuer signs
REALM = 'Bearer realm="opside"'

TOKENS_KEPT = 4096  # that were verified; the least used goes first

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
USER_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749, section 3.3

NOBODY = Viewer(
    user_id="00000000-0000-0000-0000-000000000000",
    email=None,
    name=None,
    stripe_user_id=None,
    scopes=frozenset(),
    expires_at=datetime.max.replace(tzinfo=UTC),
)
"""Asks for what is nobody's: how the services are, or the schema."""


class Unauthenticated(Exception):
    """No token, or one that proves nothing. The message is for the client, as it stands.

    Args:
        reason: for the operator: missing, expired, invalid, unavailable or too_many.
    """

    code = "UNAUTHENTICATED"
    status = 401
    retry_after_ms: int | None = None  # None: not before there is another token

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says besides, in the words of RFC 6750, section 3."""
        if self.reason == "missing":
            return {"www-authenticate": REALM}
        said = "has expired" if self.reason == "expired" else "is not valid here"
        error = f'error="invalid_token", error_description="The token {said}"'
        return {"www-authenticate": f"{REALM}, {error}"}


class IssuerUnavailable(Unauthenticated):
    """The token is signed with a key that we do not know, and the issuer cannot be asked for it.

    It may be a good one: whoever shows it should try again, not sign in again.
    """

    code = "ISSUER_UNAVAILABLE"
    status = 503
    retry_after_ms = 5000  # when the issuer may have been asked again

    def __init__(self) -> None:
        super().__init__("Sign-ins cannot be checked right now. Try again in a moment.", "unavailable")

    @property
    def headers(self) -> dict[str, str]:
        """When to come again."""
        return {"retry-after": str(self.retry_after_ms // 1000)}


def _invalid() -> Unauthenticated:
    return Unauthenticated("The token is not valid here. Sign in again.", "invalid")


class _Proven(NamedTuple):
    """What a token has proven, and by which key."""

    viewer: Viewer
    key: VerifyingKey
    kid: object  # as the token names the key


class Authenticator:
    """Verifies callers' tokens: each one once, and at each request that its time has not come."""

    def __init__(
        self,
        keys: SecretStr | IssuerKeys,
        *,
        previous: SecretStr | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        leeway_s: float = LEEWAY_S,
    ) -> None:
        """
        Args:
            keys: the secret shared with the issuer, or the keys that it publishes.
            previous: the secret before that one, while tokens signed with it are still about.
            audience: what `aud` must hold. Without it a token that names an audience is refused: it is
                somebody else's.
            issuer: what `iss` must be; any when None.
        """
        self._issuer_keys = keys if isinstance(keys, IssuerKeys) else None
        secrets = [keys, previous] if isinstance(keys, SecretStr) else []
        self._secrets = [
            VerifyingKey(secret.get_secret_value().encode(), ("HS256",)) for secret in secrets if secret
        ]
        self._audience = audience
        self._issuer = issuer
        self._leeway_s = leeway_s
        # Not what was refused: strangers must not push out whoever was let in.
        self._proven = functools.lru_cache(maxsize=TOKENS_KEPT)(self._verified)
        expected = {"aud": audience, "iss": issuer}
        self._required = [
            "exp",
            "user_id",
            *(claim for claim, value in expected.items() if value is not None),
        ]

    async def prepare(self, authorization: str | None) -> None:
        """Before `viewer`: learn the key that a token is signed with, where its issuer publishes new ones.

        Raises nothing: a token that no known key fits is refused by `viewer`.
        """
        if self._issuer_keys is None:
            return
        try:
            kid = _header(_token(authorization)).get("kid")
        except Unauthenticated:
            return
        if isinstance(kid, str):
            await self._issuer_keys.learn(kid)

    def viewer(self, authorization: str | None) -> Viewer:
        """The viewer whom an `Authorization` header names. Asks nobody: see `prepare`.

        Raises:
            Unauthenticated: there is no token, or it is expired, or it was not issued for this API.
            IssuerUnavailable: whether it was cannot be told now.
        """
        token = _token(authorization)
        try:
            proven = self._proven(token)
            if self._issuer_keys and self._issuer_keys.key(proven.kid) is not proven.key:
                self._proven.cache_clear()  # the issuer's keys were read anew: it may have dropped this one
                proven = self._proven(token)
            if proven.viewer.expires_at.timestamp() <= time.time() - self._leeway_s:
                raise jwt.ExpiredSignatureError
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired. Sign in again.", "expired") from None
        except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError):
            raise _invalid() from None
        return proven.viewer

    def _verified(self, token: str) -> _Proven:
        header = _header(token)
        key, claims = self._claims(token, header)
        _nothing_twice(token.split(".")[1])
        return _Proven(_viewer(claims), key, header.get("kid"))

    def _claims(self, token: str, header: dict[str, Any]) -> tuple[VerifyingKey, dict[str, Any]]:
        keys = self._secrets if self._issuer_keys is None else [self._key(header, self._issuer_keys)]
        for key in keys:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return key, jwt.decode(
                    token,
                    key.material,
                    algorithms=list(key.algorithms),
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway_s,
                    options={"require": self._required, "enforce_minimum_key_length": True},
                )
        raise jwt.InvalidSignatureError

    @staticmethod
    def _key(header: dict[str, Any], issuer_keys: IssuerKeys) -> VerifyingKey:
        key = issuer_keys.key(header.get("kid"))
        if key is None:
            raise IssuerUnavailable if issuer_keys.failing and header.get("kid") else _invalid()
        return key


def _token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if not token.strip():
        raise Unauthenticated("Sign in first: send a token as `Authorization: Bearer …`.", "missing")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Send the token as `Authorization: Bearer …`.", "missing")
    if len(token) > TOKEN_CHARS_AT_MOST:
        raise _invalid()
    return token.strip()


def _header(token: str) -> dict[str, Any]:
    """What a token says of itself; nothing of it is proven.

    Raises:
        Unauthenticated: it is no token, or one of another kind.
    """
    try:
        header = jwt.get_unverified_header(token)
        _nothing_twice(token.split(".")[0])
    except (jwt.PyJWTError, RecursionError, ValueError):
        raise _invalid() from None
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TOKEN_TYPES:
        raise _invalid()
    return header


def _nothing_twice(segment: str) -> None:
    """Refuse a part of a token that says a name twice: two readers could take two values.

    Raises:
        ValueError: it does.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name is there twice")
        return dict(pairs)

    json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)), object_pairs_hook=once)


def _viewer(claims: dict[str, Any]) -> Viewer:
    user_id, scope = claims["user_id"], claims.get("scope", "")
    if not isinstance(user_id, str) or not USER_ID.fullmatch(user_id) or not isinstance(scope, str):
        raise _invalid()
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (OSError, OverflowError, ValueError):  # beyond the calendar, as milliseconds are
        raise _invalid() from None
    return Viewer(
        user_id=user_id.lower(),
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        stripe_user_id=_stripe_user_id(claims.get("stripe_user_id")),
        scopes=frozenset(filter(_SCOPE.fullmatch, scope.split())),
        expires_at=expires_at,
    )


def _text(claim: object) -> str | None:
    """Text that can be sent on: JSON may hold halves of characters that no answer can."""
    if not isinstance(claim, str) or not claim or any("\ud800" <= char <= "\udfff" for char in claim):
        return None
    return claim


def _stripe_user_id(claim: object) -> int | None:
    """Digits only, within 32 bits; anything else is no identity, and stripe is then not asked."""
    number = int(claim) if isinstance(claim, str) and _DIGITS.fullmatch(claim) else claim
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= STRIPE_USER_ID_MAX:
        return None
    return number
