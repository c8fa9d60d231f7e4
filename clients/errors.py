"""What can go wrong between the BFF and an upstream service.

UpstreamError
├── UpstreamUnavailable        no usable answer: refused, reset, 502 to 504, a redirect, a 404 not its own
│   ├── UpstreamTimeout        no answer within the time budget
│   └── CircuitOpen            not even asked: it failed too often just now
├── UpstreamRateLimited        we ask too often: it answered 429, or was not even asked
├── UpstreamFailed             it answered 500: it broke on our request
├── UpstreamRejected           it answered 4xx: our request was wrong
│   ├── UpstreamNotFound       it said in its own words that there is none
│   ├── UpstreamConflict       it answered 409: there is such a thing already
│   ├── UpstreamAuthFailed     it answered 401 or 403: our credentials were wrong
│   ├── CaseNotSubmittable     integrations: the filing case is not pending any more
│   └── PaymentAccountMissing  stripe: who is to be charged has no account
├── ContractBroken             it answered 2xx in a shape we did not agree on, or without an end
├── ResultTooLarge             it has more rows than a bounded scan reads
└── PaymentsIdentityMissing    stripe knows people by an integer, and the token carries none

StoreError
├── StoreUnavailable           the BFF's own database did not answer
├── StripeIdsNotSetUp          nobody has said where stripe's integers for new claims begin
└── StripeIdsUsedUp            no integer is left that stripe can keep

DatabaseTooNew                 the BFF's own database was changed by a newer version: the start ends

After a write the question is whether the work was done. `maybe_done` answers it:

what was seen                                                                   maybe_done
a read, whatever was seen                                                       False
kept back by ourselves: open circuit, full bulkhead, quota, no time left        False
refused, name not resolved, no connection in time                               False
4xx, 429, a 500 by which the service says no in its own way                     False
sent, then no answer in time, or the connection broke                           True
sent, then another 5xx, 503 included, or a 3xx                                  True
2xx in a shape that was not agreed                                              True

A 503 mostly means that a proxy did not pass the request on. But a service that did its work and failed at the
step after it can say 503 as well, and nothing in the answer tells which: to look needlessly costs one read,
to write twice costs money.
"""

from typing import ClassVar


class UpstreamError(Exception):
    """One upstream call did not bring what was asked. Carries facts; `bff/errors.py` finds the words."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        upstream: str,
        operation: str,
        *,
        status: int | None = None,
        retry_after_ms: int | None = None,
        said: str | None = None,
        maybe_done: bool = False,
    ) -> None:
        super().__init__(upstream, operation, status)
        self.upstream = upstream
        self.operation = operation
        self.status = status
        self.retry_after_ms = retry_after_ms
        self.said = said  # the service's own text, for whoever debugs: never shown
        self.maybe_done = maybe_done  # a write that may have been done, although no success came back


class UpstreamUnavailable(UpstreamError):
    """No usable answer: refused or reset, 502 to 504, a redirect, 408, 421, 425, or a 404 not its own."""

    code = "SERVICE_UNAVAILABLE"
    retryable = True


class UpstreamTimeout(UpstreamUnavailable):
    """No answer within the time budget; for a POST, the work may still have been done."""

    code = "SERVICE_TIMEOUT"


class CircuitOpen(UpstreamUnavailable):
    """Not asked: it failed too often just now. `retry_after_ms` says when one call is let through."""

    code = "CIRCUIT_OPEN"


class UpstreamRateLimited(UpstreamError):
    """429, or kept back: its quota is used up, or too many requests wait for it already.

    Never tried again inside the request; `retry_after_ms` says when it makes sense.
    """

    code = "RATE_LIMITED"
    retryable = True


class UpstreamFailed(UpstreamError):
    """500 that is no disguised answer, or another 5xx that says nothing about availability."""

    code = "SERVICE_FAILED"
    retryable = True


class UpstreamRejected(UpstreamError):
    """4xx: the request was wrong, and will be wrong again."""

    code = "SERVICE_REJECTED"


class UpstreamNotFound(UpstreamRejected):
    """There is no such thing, in the service's own words (`Disguise`): a 404 alone is anybody's."""


class UpstreamConflict(UpstreamRejected):
    """409, or a unique constraint in a 500: there is such a thing already. Whose, only a read tells."""


class CaseNotSubmittable(UpstreamRejected):
    """Integrations hands a case in once, from `pending`; this one was handed in or decided before."""


class PaymentAccountMissing(UpstreamRejected):
    """Stripe keeps no account for who is to be charged: nothing was charged."""


class UpstreamAuthFailed(UpstreamRejected):
    """401 or 403 after the viewer's own token was verified: a fault of our configuration."""

    code = "SERVICE_AUTH_FAILED"


class ContractBroken(UpstreamError):
    """2xx in a shape that was not agreed, or an answer longer than 8 MiB. Which field is in the log."""

    code = "SERVICE_CONTRACT_BROKEN"


class ResultTooLarge(UpstreamError):
    """Not every row was read: there are more than a scan reads, or they moved. So "none" cannot be said."""

    code = "RESULT_TOO_LARGE"


class PaymentsIdentityMissing(UpstreamError):
    """The token has no `stripe_user_id`. Stripe is not asked: any other number is another person."""

    code = "PAYMENTS_IDENTITY_MISSING"


class StoreError(Exception):
    """What the BFF itself should remember cannot be read or written. Logged where it happens."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False


class StoreUnavailable(StoreError):
    """The BFF's own database did not answer within a second."""

    code = "STORE_UNAVAILABLE"
    retryable = True


class StripeIdsNotSetUp(StoreError):
    """A claim needs an integer for stripe, and `BFF_STRIPE_FIRST_ID` is not set.

    It has no safe default: a number that stripe-payments has used already is another claim's money. Only
    commissions need it, so the process starts without.
    """

    code = "STRIPE_IDS_NOT_SET_UP"


class StripeIdsUsedUp(StoreError):
    """The next integer would be above 2 147 483 647, the largest that stripe-payments can keep."""

    code = "STRIPE_IDS_USED_UP"


class DatabaseTooNew(Exception):
    """The BFF's own database is at a revision that this version does not know."""

    def __init__(self, found: str, *, newest: str) -> None:
        super().__init__(
            f"The database is at revision {found}, and this version of the BFF knows {newest} at most: "
            "a newer version has changed it. Run that one, or give DB_URL another database."
        )
