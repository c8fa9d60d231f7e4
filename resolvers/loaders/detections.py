"""Loaders of findings, filing cases, syncs and connections, from the integrations service.

A claim, its filing case and its finding are joined by the case number: the claim carries the number of the
filing case, and the filing case names the finding. Both lists are read once per operation, together.
"""

import asyncio
from collections import defaultdict
from dataclasses import replace
from functools import cached_property

from clients.integrations.connections import IntegrationRecord
from clients.integrations.detections import DetectionRecord, DetectionStatisticsRecord
from clients.integrations.disputes import DisputeRecord
from clients.integrations.syncs import SyncRecord
from clients.transport import Answer, Page
from resolvers.loaders.batching import Loader, Scan, Shared, each, found_in, scan, settled
from resolvers.loaders.claims import ClaimLoaders, MaybeClaim

SERVICE = "integrations"
SCAN_PAGE = 500
SCAN_PAGES_AT_MOST = 3
SYNC_PAGE = 100
SYNCS_AT_ONCE = 4


class DetectionLoaders(ClaimLoaders):
    """Whatever is asked of findings, filing cases and syncs in one operation."""

    @cached_property
    def dispute_by_case_number(self) -> Loader[str, Answer[DisputeRecord | None]]:
        """The filing case with a claim's number; an answer of None says that there is none."""

        async def batch(case_numbers: list[str]) -> list[Answer[DisputeRecord | None] | Exception]:
            disputes = await self._disputes()
            by_number = {dispute.case_number: dispute for dispute in disputes.rows}
            doubt = disputes.doubt(SERVICE, "listDisputes")
            return [found_in(disputes, by_number.get(number), doubt) for number in case_numbers]

        return Loader(batch)

    @cached_property
    def dispute_by_detection_id(self) -> Loader[str, Answer[DisputeRecord | None]]:
        """The filing case of a finding; an answer of None says that there is none."""

        async def batch(detection_ids: list[str]) -> list[Answer[DisputeRecord | None] | Exception]:
            disputes = await self._disputes()
            by_detection = {dispute.detection_result_id: dispute for dispute in disputes.rows}
            doubt = disputes.doubt(SERVICE, "listDisputes")
            return [found_in(disputes, by_detection.get(key), doubt) for key in detection_ids]

        return Loader(batch)

    @cached_property
    def detection_by_id(self) -> Loader[str, Answer[DetectionRecord | None]]:
        """The finding with an id; an answer of None says that there is none."""

        async def batch(detection_ids: list[str]) -> list[Answer[DetectionRecord | None] | Exception]:
            detections = await self._detections()
            by_id = {detection.id: detection for detection in detections.rows}
            doubt = detections.doubt(SERVICE, "listDetectionResults")
            return [found_in(detections, by_id.get(key), doubt) for key in detection_ids]

        return Loader(batch)

    @cached_property
    def detections_by_case_number(self) -> Loader[str, Page[DetectionRecord]]:
        """The findings that led to a claim: at most one, through the filing case with the claim's number."""

        async def batch(case_numbers: list[str]) -> list[Page[DetectionRecord] | Exception]:
            disputes, detections = await asyncio.gather(self._disputes(), self._detections())
            by_number = {dispute.case_number: dispute for dispute in disputes.rows}
            by_id = {detection.id: detection for detection in detections.rows}
            as_of = min(disputes.as_of, detections.as_of)
            none: Page[DetectionRecord] = Page([], 0, as_of)
            unfiled = disputes.doubt(SERVICE, "listDisputes") or none
            unfound = detections.doubt(SERVICE, "listDetectionResults") or none

            def of_claim(case_number: str) -> Page[DetectionRecord] | Exception:
                dispute = by_number.get(case_number)
                detection = by_id.get(dispute.detection_result_id) if dispute else None
                if detection:
                    return Page([detection], 1, as_of)
                return unfound if dispute else unfiled

            return [of_claim(number) for number in case_numbers]

        return Loader(batch)

    @cached_property
    def detections_by_sync_id(self) -> Loader[str, Scan[DetectionRecord]]:
        """The findings in the data of one sync, newest first."""

        async def batch(sync_ids: list[str]) -> list[Scan[DetectionRecord] | Exception]:
            read = await (self._scan_detections(sync_ids[0]) if len(sync_ids) == 1 else self._detections())
            of_sync: defaultdict[str, list[DetectionRecord]] = defaultdict(list)
            for detection in read.rows:
                of_sync[detection.sync_id].append(detection)
            doubt = read.doubt(SERVICE, "listDetectionResults")
            return [
                doubt if doubt and not of_sync[key] else replace(read, rows=of_sync[key]) for key in sync_ids
            ]

        return Loader(batch)

    @cached_property
    def claim_by_detection_id(self) -> Loader[str, MaybeClaim]:
        """The claim made of a finding, through its filing case; None when none was made."""

        async def batch(detection_ids: list[str]) -> list[MaybeClaim | Exception]:
            disputes = await settled(self.dispute_by_detection_id.load(key) for key in detection_ids)

            async def claim_of(dispute: Answer[DisputeRecord | None] | BaseException) -> MaybeClaim:
                if isinstance(dispute, BaseException):
                    raise dispute
                if dispute.value is None:
                    return None
                return await self.claim_by_case_number.load(dispute.value.case_number)

            return await settled(claim_of(dispute) for dispute in disputes)  # type: ignore[return-value]

        return Loader(batch)

    @cached_property
    def sync_by_id(self) -> Loader[str, Answer[SyncRecord] | None]:
        """The sync with an id; None when there is none. One older than the latest 100 has no start."""

        async def batch(sync_ids: list[str]) -> list[Answer[SyncRecord] | Exception | None]:
            page = await self.clients.integrations.syncs_page(limit=SYNC_PAGE)
            found: dict[str, Answer[SyncRecord] | Exception | None] = {
                sync.sync_id: Answer(sync, page.as_of) for sync in page.rows
            }
            misses = [sync_id for sync_id in sync_ids if sync_id not in found]
            if len(page.rows) < SYNC_PAGE:  # a short page is the whole history
                found |= dict.fromkeys(misses, page.failure)
            else:
                singles = await each(misses, self.clients.integrations.sync, at_once=SYNCS_AT_ONCE)
                found |= dict(zip(misses, singles, strict=True))
            return [found[sync_id] for sync_id in sync_ids]

        return Loader(batch)

    @cached_property
    def detection_statistics(self) -> Shared[Answer[DetectionStatisticsRecord]]:
        """Figures over all findings of the viewer."""
        return Shared(self.clients.integrations.detection_statistics)

    @cached_property
    def integrations(self) -> Shared[Page[IntegrationRecord]]:
        """The viewer's connections, latest change first; providers never connected are absent."""
        return Shared(self.clients.integrations.integrations)

    @cached_property
    def integration_by_provider(self) -> Loader[str, Answer[IntegrationRecord | None]]:
        """The viewer's connection to a provider; an answer of None says that there never was one."""

        async def batch(providers: list[str]) -> list[Answer[IntegrationRecord | None] | Exception]:
            page = await self.integrations()
            latest = {row.provider: row for row in reversed(page.rows)}  # its latest row is its state
            return [found_in(page, latest.get(provider), page.failure) for provider in providers]

        return Loader(batch)

    async def detections_page(self, *, limit: int, offset: int, status: str | None) -> Page[DetectionRecord]:
        """As `Integrations.detections_page`; its rows need not be asked for again."""
        page = await self.clients.integrations.detections_page(limit=limit, offset=offset, status=status)
        self.detection_by_id.bring((row.id, Answer(row, page.as_of)) for row in page.rows)
        return page

    async def syncs_page(self, *, limit: int, offset: int) -> Page[SyncRecord]:
        """As `Integrations.syncs_page`; its rows need not be asked for again."""
        page = await self.clients.integrations.syncs_page(limit=limit, offset=offset)
        self.sync_by_id.bring((row.sync_id, Answer(row, page.as_of)) for row in page.rows)
        return page

    @cached_property
    def _disputes(self) -> Shared[Scan[DisputeRecord]]:
        async def page_at(offset: int) -> Page[DisputeRecord]:
            return await self.clients.integrations.disputes_page(limit=SCAN_PAGE, offset=offset)

        return Shared(lambda: scan(page_at, page_size=SCAN_PAGE, pages_at_most=SCAN_PAGES_AT_MOST))

    @cached_property
    def _detections(self) -> Shared[Scan[DetectionRecord]]:
        return Shared(self._scan_detections)

    async def _scan_detections(self, sync_id: str | None = None) -> Scan[DetectionRecord]:
        async def page_at(offset: int) -> Page[DetectionRecord]:
            return await self.clients.integrations.detections_page(
                limit=SCAN_PAGE, offset=offset, sync_id=sync_id
            )

        return await scan(page_at, page_size=SCAN_PAGE, pages_at_most=SCAN_PAGES_AT_MOST)
