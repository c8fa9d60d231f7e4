"""Reads the claims that a viewer watches: a page of what changed last, which proves that the rest did not."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from clients.caller import Caller, Viewer
from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.loaders.batching import settled
from resolvers.loaders.operation import Loaders
from resolvers.watching.poll import NOT_YET

Begin = Callable[[Viewer], tuple[Caller, Loaders]]
Found = dict[str, Answer[ClaimRecord] | BaseException | None]

CHANGED_PAGE = 100
SINGLES_A_ROUND = 3  # for more, the loader would read the list
LIST_PAGE = 200
LIST_PAGES_A_ROUND = 5


class ClaimReader:
    """Remembers, from round to round, how far its pages reached back."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._reaches_to = datetime.min.replace(tzinfo=UTC)  # the latest change that was seen
        self._doubted: dict[str, None] = {}  # may have changed unseen, longest doubted first
        self._sought: set[str] = set()  # not among the rows of the list that were read so far
        self._sought_to = 0  # how many those are

    async def __call__(
        self, viewer: Viewer, known: Collection[str], new: Collection[str]
    ) -> Mapping[str, Answer[ClaimRecord] | BaseException | None]:
        """See `Reader`. Asks `listClaims` once; for what its page cannot tell, `getClaim`.

        Of more than three new claims beyond the page the whole list is read, five pages a round.
        """
        caller, loaders = self._begin(viewer)
        try:
            page = await loaders.claims_page(limit=CHANGED_PAGE, sort_by="updated_at", sort_order="DESC")
            found: Found = {row.id: Answer(row, page.as_of) for row in page.rows}
            if (page.total or 0) > CHANGED_PAGE:
                # The page goes by the last change: what is not on it has not changed since the page before,
                # unless everything on it has.
                if page.rows and page.rows[-1].updated_at > self._reaches_to:
                    self._doubted |= dict.fromkeys(known)
                self._doubted = {key: None for key in self._doubted if key in known and key not in found}
                missing = [key for key in new if key not in found]
                if len(missing) > SINGLES_A_ROUND:
                    found |= await self._listed(loaders, missing)
                else:
                    asked = [*missing, *self._doubted][:SINGLES_A_ROUND]
                    read = await settled(map(loaders.claim_by_id.load, asked))
                    found |= dict(zip(asked, read, strict=True))
                self._doubted = {
                    key: None for key in self._doubted if isinstance(found.get(key, NOT_YET), BaseException)
                }
            self._sought = {key for key in self._sought if found.get(key) is NOT_YET}
            if page.rows:
                self._reaches_to = max(self._reaches_to, page.rows[0].updated_at)
            return found
        finally:
            caller.leave()

    async def _listed(self, loaders: Loaders, missing: Collection[str]) -> Found:
        """Read on in the list of all claims, until what is missing was found or the round has read enough."""
        if not self._sought:
            self._sought, self._sought_to = set(missing), 0
        found: Found = {}
        ended, offset = False, self._sought_to
        for _ in range(LIST_PAGES_A_ROUND):
            page = await loaders.claims_page(limit=LIST_PAGE, offset=offset)
            found |= {row.id: Answer(row, page.as_of) for row in page.rows}
            offset += LIST_PAGE
            ended = offset >= (page.total or 0)
            if ended or all(key in found for key in missing):
                break
        self._sought_to = offset  # not before: what a round that fails has read is told to nobody
        for key in missing:
            if key not in found:  # one that came while the list was being read is sought from the start
                found[key] = None if ended and key in self._sought else NOT_YET
        return found
