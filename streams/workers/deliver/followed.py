"""What follows calls, at one CRM: which follow-ups a call asks for, and the local steps of each kind."""

from collections.abc import Mapping, Sequence

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.crm.shared import tasks
from streams.delivery.answers import Answer
from streams.delivery.record import Delivery
from streams.recordings.finder import RecordingFinder
from streams.settings import PortalSettings, RecordingSettings


class FollowedCalls:
    """Recordings, and tasks for missed calls. See preparations.Preparer and intake.FollowUps."""

    def __init__(self, recordings: Sequence[RecordingSettings], portals: Sequence[PortalSettings]) -> None:
        """Raises SettingsError where links to recordings cannot be signed."""
        self._recordings = RecordingFinder(recordings)
        self._settle_us = {each.name: int(each.settle_seconds * MICROS_PER_SECOND) for each in portals}

    @property
    def longest_us(self) -> int:
        """So long at most a local step is repeated."""
        return self._recordings.longest_us

    def follow_ups(self, result: CallResult, portal: PortalSettings) -> dict[str, Mapping[str, str]]:
        """The follow-ups that a call asks for at a portal, with the ids that are known at once."""
        return {**self._recordings.follow_ups(result, portal), **tasks.follow_ups(result, portal, utc_now_us())}

    async def prepare(self, delivery: Delivery, result: CallResult) -> Answer:
        """See Preparer."""
        if delivery.step == tasks.WAIT:
            return tasks.awaited(delivery, self._settle_us[delivery.portal], utc_now_us())
        return await self._recordings.prepare(delivery, result)

    async def close(self) -> None:
        """Close the connections."""
        await self._recordings.close()
