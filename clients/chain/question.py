"""What one upstream call is about, as the links of the chain need to know it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from clients.caller import Caller, Deadline
from clients.errors import (
    ContractBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamUnavailable,
)
from clients.failures import error_of_answer, error_of_transport, said_in, text_in
from clients.freshness import Freshness

VALUE = "value"  # the response extension that holds what a good answer says
MAYBE_DONE = "maybe_done"  # the request extension that is there once the work may have been done


@dataclass(frozen=True, slots=True)
class Disguise:
    """What a service says by its own words, under a status that lies or that a proxy before it uses too."""

    status: int
    text: str  # a pattern of the whole text: another text stays the failure that the status says
    means: type[UpstreamRejected]


@dataclass(frozen=True, slots=True)
class Question:
    """Travels with the request from link to link."""

    upstream: str
    operation: str  # the contract's operationId
    caller: Caller
    idempotent: bool  # may be asked again without doing anything twice
    freshness: Freshness | None  # None: the answer is never repeated
    writes: bool  # changes something there
    outdates: Sequence[str]  # the reads of this service whose answers it changes
    disguises: Sequence[Disguise]  # by which this service says something else than its status does
    counted_apart: bool  # by a limiter for each viewer, whose headers and 429 say nothing of the quota of all
    takes_long: bool  # known to: it has a limit of its own, longer than the service's
    deadline: Deadline  # the latest of those who wait for the answer: of one, until others join
    limit_ends_at_s: float  # of the service: whole call, attempts and pauses included, on the monotonic clock
    read: Callable[[httpx.Response], object]  # a good answer's value; raises ContractBroken

    def is_answer(self, response: httpx.Response) -> bool:
        """Whether a response that was read says something, rather than that the service is broken or away."""
        return response.is_success or not isinstance(
            self.refusal(response), UpstreamUnavailable | UpstreamFailed
        )

    def refusal(self, response: httpx.Response) -> UpstreamError:
        """The error that a response outside 2xx, read to its end, stands for."""
        meant = self.disguised(response)
        if meant is None:
            return error_of_answer(self.upstream, self.operation, response)
        said = said_in(response.content)
        return meant(self.upstream, self.operation, status=response.status_code, said=said)

    def disguised(self, response: httpx.Response) -> type[UpstreamRejected] | None:
        """What a response says by the service's own words, whatever its status says; None where by none."""
        for disguise in self.disguises:
            if response.status_code == disguise.status and re.fullmatch(
                disguise.text, text_in(response.content) or "", re.DOTALL
            ):
                return disguise.means
        return None

    def failure(self, seen: httpx.Response | httpx.RequestError | ContractBroken) -> UpstreamError:
        """The error that anything but a good answer stands for; always one that nobody has raised yet."""
        if isinstance(seen, ContractBroken):
            return ContractBroken(self.upstream, self.operation, status=seen.status)
        if isinstance(seen, httpx.RequestError):
            return error_of_transport(self.upstream, self.operation, seen)
        return self.refusal(seen)


def question_of(request: httpx.Request) -> Question:
    """The question that a request asks."""
    question: Question = request.extensions["question"]
    return question
