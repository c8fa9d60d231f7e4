"""DevIssuer: issues tokens in development."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import jwt
from pydantic import SecretStr

from bff.auth import SCOPES


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
