"""Reads the syncs that a viewer watches, with the detection over each: the latest page, older ones singly."""

from collections.abc import Collection, Mapping

from clients.caller import Viewer
from clients.integrations.syncs import SyncRecord
from clients.transport import Answer
from resolvers.loaders.batching import each
from resolvers.watching.claims import Begin

LATEST_PAGE = 20
OLDER_AT_ONCE = 4


class SyncReader:
    """One round is one page, and one call for each watched sync that is older."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def __call__(
        self, viewer: Viewer, known: Collection[str], new: Collection[str]
    ) -> Mapping[str, Answer[SyncRecord] | Exception | None]:
        """See `Reader`. Asks `listSyncHistory` once, `getSyncStatus` for what is not on its page."""
        caller, loaders = self._begin(viewer)
        try:
            page = await loaders.syncs_page(limit=LATEST_PAGE, offset=0)
            found: dict[str, Answer[SyncRecord] | Exception | None] = {
                row.sync_id: Answer(row, page.as_of) for row in page.rows
            }
            if len(page.rows) == LATEST_PAGE:  # a short page is the whole history
                older = [key for key in (*new, *known) if key not in found]
                read = await each(older, loaders.clients.integrations.sync, at_once=OLDER_AT_ONCE)
                found |= dict(zip(older, read, strict=True))
            return found
        finally:
            caller.leave()
