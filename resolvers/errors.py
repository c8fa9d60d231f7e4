"""What can be wrong with a request before any service is asked.

RequestError
├── BadUserInput    a value cannot be used; the message says what to give instead
└── Forbidden       the token does not carry the scope that the field needs
"""

from typing import ClassVar


class RequestError(Exception):
    """The request itself is at fault. The message is for the client, as it stands."""

    code: ClassVar[str]
    retry_after_ms: int | None = None  # None: not before the request is another


class BadUserInput(RequestError):
    """A value cannot be used."""

    code = "BAD_USER_INPUT"


class Forbidden(RequestError):
    """The token does not carry the scope."""

    code = "FORBIDDEN"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope `{scope}`, which the token does not carry.")
        self.scope = scope
