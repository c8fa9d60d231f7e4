"""What one upstream call is about, as the links of the chain need to know it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import httpx

from clients.caller import Caller
from clients.failures import said_in
from clients.freshness import Freshness

VALUE = "value"  # the response extension that holds what a good answer says


@dataclass(frozen=True, slots=True)
class Question:
    """Travels with the request from link to link."""

    upstream: str
    operation: str  # the contract's operationId
    caller: Caller
    idempotent: bool  # may be asked again without doing anything twice
    freshness: Freshness | None  # None: the answer is never repeated
    absent_texts: Collection[str]  # by which this service says "none" with a 500
    limit_s: float  # the service's own: longest wait for the whole call, attempts and pauses included
    limit_ends_at_s: float  # the same on the monotonic clock
    read: Callable[[httpx.Response], object]  # a good answer's value; raises ContractBroken

    def is_answer(self, response: httpx.Response) -> bool:
        """Whether a response that was read says something, rather than that the service is broken."""
        if response.status_code < 500:
            return True
        return response.status_code == 500 and said_in(response.content) in self.absent_texts


def question_of(request: httpx.Request) -> Question:
    """The question that a request asks."""
    question: Question = request.extensions["question"]
    return question
