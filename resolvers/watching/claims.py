"""Reads the claims that a viewer watches: a page of what changed last, which proves that the rest did not."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from clients.caller import Caller, Viewer
from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.loaders.batching import settled
from resolvers.loaders.operation import Loaders

Begin = Callable[[Viewer], tuple[Caller, Loaders]]

CHANGED_PAGE = 100
DOUBTED_A_ROUND = 3  # read one by one; for more, the loader would read the list


class ClaimReader:
    """Remembers, from round to round, how far its pages reached back."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._reaches_to = datetime.min.replace(tzinfo=UTC)  # the latest change that was seen
        self._doubted: dict[str, None] = {}  # may have changed unseen, longest doubted first

    async def __call__(
        self, viewer: Viewer, known: Collection[str], new: Collection[str]
    ) -> Mapping[str, Answer[ClaimRecord] | BaseException | None]:
        """See `Reader`. Asks `listClaims` once, `getClaim` for what its page cannot tell."""
        caller, loaders = self._begin(viewer)
        try:
            page = await loaders.claims_page(limit=CHANGED_PAGE, sort_by="updated_at", sort_order="DESC")
            found: dict[str, Answer[ClaimRecord] | BaseException | None] = {
                row.id: Answer(row, page.as_of) for row in page.rows
            }
            if (page.total or 0) > CHANGED_PAGE:
                # The page goes by the last change: what is not on it has not changed since the page before,
                # unless everything on it has.
                if page.rows and page.rows[-1].updated_at > self._reaches_to:
                    self._doubted |= dict.fromkeys(known)
                self._doubted = {key: None for key in self._doubted if key in known and key not in found}
                doubted = list(self._doubted)[:DOUBTED_A_ROUND]
                asked = [*(key for key in new if key not in found), *doubted]
                found |= dict(zip(asked, await settled(map(loaders.claim_by_id.load, asked)), strict=True))
                for key in doubted:
                    if not isinstance(found[key], BaseException):
                        del self._doubted[key]
            if page.rows:
                self._reaches_to = max(self._reaches_to, page.rows[0].updated_at)
            return found
        finally:
            caller.leave()
