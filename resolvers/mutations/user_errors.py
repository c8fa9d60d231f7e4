"""What a mutation tells a person: why it did not do what was asked.

Refused                  raised wherever a mutation finds that out; carries one of the six types below
├── InvalidInputError        a value cannot be used
├── NotFoundError            an id leads nowhere
├── ClaimNotSubmittableError the claim cannot be filed as it stands
├── ConflictError            it does not fit the present state
├── ServiceUnavailableError  the service did not take it: nothing was done
└── OutcomeUnknownError      the service took it and did not answer

A read that fails before anything was sent in another way (a broken contract, too many rows, no payment
identity) is no user error: it is a located error with its code, as everywhere in the graph.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeVar

import strawberry

from clients.errors import (
    CaseNotSubmittable,
    PaymentAccountMissing,
    UpstreamAuthFailed,
    UpstreamConflict,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from resolvers.claims.submission import SubmissionStatus
from resolvers.errors import BadUserInput
from resolvers.global_ids import key_of
from resolvers.words import described

T = TypeVar("T")


@strawberry.enum(description="Why a mutation did not do what was asked.")
class UserErrorCode(Enum):
    INVALID_INPUT = described("INVALID_INPUT", description="A value in the input cannot be used.")
    NOT_FOUND = described("NOT_FOUND", description="The object does not exist or is not the viewer's.")
    CLAIM_NOT_SUBMITTABLE = described(
        "CLAIM_NOT_SUBMITTABLE", description="The claim cannot be filed as it stands."
    )
    CASE_NUMBER_TAKEN = described("CASE_NUMBER_TAKEN", description="The case number is in use.")
    SYNC_NOT_RUNNING = described("SYNC_NOT_RUNNING", description="The sync has already ended.")
    ALREADY_CONNECTED = described("ALREADY_CONNECTED", description="The system is connected already.")
    PAYMENT_ACCOUNT_MISSING = described(
        "PAYMENT_ACCOUNT_MISSING",
        description="The seller has no payment account yet; connect STRIPE first.",
    )
    IDEMPOTENCY_KEY_REUSED = described(
        "IDEMPOTENCY_KEY_REUSED", description="This idempotency key was used with another input."
    )
    REFUSED = described(
        "REFUSED",
        description="The owner refused and did not say why in a way this graph knows.",
    )
    SERVICE_UNAVAILABLE = described(
        "SERVICE_UNAVAILABLE", description="The service did not take the request; nothing was done."
    )
    OUTCOME_UNKNOWN = described(
        "OUTCOME_UNKNOWN",
        description="The service took the request and did not answer; it may have been done.",
    )


@strawberry.interface(description="Why a mutation did not do what was asked, for the person who asked.")
class UserError:
    code: UserErrorCode = strawberry.field(description="Reason for machines.")
    message: str = strawberry.field(description="Reason for people. Never a service's own text.")
    field: list[str] | None = strawberry.field(
        default=None,
        description='Path to the input concerned (`["input", "claimId"]`); null when it concerns none.',
    )


@strawberry.type(description="A value in the input cannot be used (INVALID_INPUT).")
class InvalidInputError(UserError):
    pass


@strawberry.type(description="The object does not exist or is not the viewer's (NOT_FOUND).")
class NotFoundError(UserError):
    requested_id: strawberry.ID = strawberry.field(
        description="The id that led nowhere; empty when none was given."
    )


@strawberry.type(description="The claim cannot be filed as it stands (CLAIM_NOT_SUBMITTABLE).")
class ClaimNotSubmittableError(UserError):
    submission_status: SubmissionStatus = strawberry.field(description="Where its filing stands.")


@strawberry.type(
    description=(
        "The request does not fit the present state (CASE_NUMBER_TAKEN, SYNC_NOT_RUNNING, ALREADY_CONNECTED, "
        "PAYMENT_ACCOUNT_MISSING, IDEMPOTENCY_KEY_REUSED, REFUSED). Trying again does not help."
    )
)
class ConflictError(UserError):
    pass


@strawberry.type(
    description=(
        "The service did not take the request; nothing was done (SERVICE_UNAVAILABLE). Trying again with the "
        "same key is safe."
    )
)
class ServiceUnavailableError(UserError):
    service: str = strawberry.field(description="Slug of the service, as in `ServiceHealth.name`.")
    retry_after_ms: int | None = strawberry.field(
        description="Milliseconds to wait before trying again; null when not known."
    )


@strawberry.type(
    description=(
        "The service took the request and did not answer (OUTCOME_UNKNOWN). Look before trying again; the "
        "same key never does it twice."
    )
)
class OutcomeUnknownError(UserError):
    service: str = strawberry.field(description="Slug of the service, as in `ServiceHealth.name`.")


USER_ERROR_TYPES = (
    InvalidInputError,
    NotFoundError,
    ClaimNotSubmittableError,
    ConflictError,
    ServiceUnavailableError,
    OutcomeUnknownError,
)


# Rejections that say what is amiss.
OWN_MEANING = (UpstreamConflict, CaseNotSubmittable, PaymentAccountMissing)


def user_errors_field() -> Any:
    """The field of a payload that holds its user errors."""
    return strawberry.field(default_factory=list, description="Why nothing was done; empty on success.")


class Refused(Exception):
    """The mutation did not do what was asked, and here is why."""

    def __init__(self, error: UserError) -> None:
        super().__init__(error.code.value)
        self.error = error


def invalid(message: str, *path: str) -> Refused:
    """A value cannot be used; `path` leads to it, below `input`."""
    return Refused(
        InvalidInputError(code=UserErrorCode.INVALID_INPUT, message=message, field=["input", *path])
    )


def not_found(message: str, requested_id: str, *path: str) -> Refused:
    """An id leads nowhere, or to somebody else's object, which the viewer cannot tell apart."""
    return Refused(
        NotFoundError(
            code=UserErrorCode.NOT_FOUND,
            message=message,
            field=["input", *path],
            requested_id=strawberry.ID(requested_id),
        )
    )


def conflict(code: UserErrorCode, message: str, *path: str) -> Refused:
    """The request does not fit the present state."""
    return Refused(ConflictError(code=code, message=message, field=["input", *path] if path else None))


def outcome_unknown(service: str, message: str) -> Refused:
    """The service may have done it."""
    return Refused(OutcomeUnknownError(code=UserErrorCode.OUTCOME_UNKNOWN, message=message, service=service))


def key_in(value: strawberry.ID, expected: str, *path: str) -> str:
    """As `key_of`, for an id in the input of a mutation.

    Raises:
        Refused: INVALID_INPUT at `path`.
    """
    try:
        return key_of(value, expected)
    except BadUserInput as error:
        raise invalid(str(error), *path) from None


def refusal_of(error: UpstreamError) -> Refused | None:
    """What a failed call means for a person; None when it is no matter for the person.

    A call that may have been carried out is an unknown outcome, whatever went wrong.
    """
    if error.maybe_done:
        return outcome_unknown(
            error.upstream,
            "The service took the request and did not answer. Look whether it was done before you try again.",
        )
    if isinstance(error, UpstreamUnavailable | UpstreamRateLimited):
        return Refused(
            ServiceUnavailableError(
                code=UserErrorCode.SERVICE_UNAVAILABLE,
                message="The service cannot take this right now. Nothing was done; try again in a moment.",
                service=error.upstream,
                retry_after_ms=error.retry_after_ms,
            )
        )
    return None


def unseen(service: str) -> Refused:
    """It was done, and its result is not to be seen."""
    return outcome_unknown(
        service,
        "It was done, and what became of it cannot be shown right now. Ask again, with the same key where "
        "there is one.",
    )


async def seen_after(look: Awaitable[T], lost: UpstreamError | None = None) -> T:
    """What is to be seen after a write; `lost` is its failure, if its answer was lost.

    Raises:
        Refused: OUTCOME_UNKNOWN: it cannot be seen. A read that fails after a write must not pass for
            "nothing was done".
    """
    try:
        return await look
    except UpstreamError as error:
        told = refusal_of(lost) if lost else None
        raise told or unseen(error.upstream) from error


async def lost_answer(write: Awaitable[object]) -> UpstreamError | None:
    """Send a write whose effect can be looked at afterwards; its failure, if its answer was lost.

    Raises:
        UpstreamError: nothing was done.
        Refused: the owner said no.
    """
    try:
        with refused_if_rejected():
            await write
    except UpstreamError as error:
        if not error.maybe_done:
            raise
        return error
    return None


def not_done(lost: UpstreamError, message: str, *path: str) -> Exception:
    """What to raise when a write without an answer shows no effect: an owner that answered has refused."""
    if isinstance(lost, UpstreamFailed):
        return conflict(UserErrorCode.REFUSED, message, *path)
    return lost


@contextmanager
def refused_if_rejected(bad_request: Refused | None = None) -> Iterator[None]:
    """Around a write: an owner that says no, in a way we do not know, has refused.

    Args:
        bad_request: what a 400 means; REFUSED when None.

    Raises:
        Refused: REFUSED.
        UpstreamRejected: one of `OWN_MEANING`, whose meaning is the caller's to tell.
    """
    try:
        yield
    except (UpstreamAuthFailed, *OWN_MEANING):  # credentials are our configuration's fault
        raise
    except UpstreamRejected as error:
        if error.maybe_done:  # a second attempt was refused, the first was not
            raise
        if bad_request and error.status == 400:
            raise bad_request from error
        raise conflict(
            UserErrorCode.REFUSED, "The owner of this data refused the request. Trying again does not help."
        ) from error
