"""The recordings of a cell's calls: real files below a folder, found by the product's finder."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from deploy.fake_crms import Entry, Portal
from streams.calls.result import CallResult
from streams.clock import utc_now_us
from streams.crm.shared.recording import RECORDING
from streams.delivery.answers import Answer, RetryLater
from streams.delivery.record import Delivery, State
from streams.recordings.finder import RecordingFinder
from streams.settings import PortalSettings, RecordingSettings
from tests.faults.cells import Cell

LONG_AGO = 1_700_000_000
LINK = "https://pbx.example/recordings"


class CellRecordings:
    """The finder of a cell, and what must be the end of its calls' recordings."""

    def __init__(self, cell: Cell, portal: Portal, directory: Path) -> None:
        self._cell = cell
        self._portal = portal
        self._folder = directory / f"recordings-{cell.id.replace(':', '-')}"
        self._folder.mkdir()
        settings = RecordingSettings(
            folder=self._folder,
            file="{linkedid}.wav",
            link=LINK,
            link_key=SecretStr("k" * 40),
            send="file" if cell.recordings == "file" else "address",
            check=cell.recordings != "known",
            unanswered=True,
        )
        self._finder = RecordingFinder([settings])

    def follow_ups(self, result: CallResult, portal: PortalSettings) -> Mapping[str, Mapping[str, str]]:
        """See Intake. The recording is written, long before it is looked for."""
        file = self._folder / f"{result.linkedid}.wav"
        file.write_bytes(b"RIFF" + bytes(100))
        os.utime(file, (LONG_AGO, LONG_AGO))
        return self._finder.follow_ups(result, portal)

    async def prepare(self, delivery: Delivery, result: CallResult) -> Answer:
        """See Preparer. The recording is found only when its call is in the portal, unless it is known before."""
        there = any(entry.external_id == delivery.call_id for entry in self._portal.entries())
        if not there and self._cell.recordings != "known":
            return RetryLater("not there yet", utc_now_us() + 300_000)
        return await self._finder.prepare(delivery, result)

    async def close(self) -> None:
        """Close the finder."""
        await self._finder.close()

    def violations(self, result: CallResult, delivery: Delivery, entries: list[Entry]) -> list[str]:
        """What is wrong at the end with a call's recording."""
        refused = self._cell.recordings == "refused"
        states = {each.kind: each.state for each in delivery.follow_ups}
        wrong = []
        if states != {RECORDING: State.REFUSED if refused else State.DELIVERED}:
            wrong.append(f"{result.call_id}: its recording ended as {delivery.follow_ups}")
        if delivery.result is not None:
            wrong.append(f"{result.call_id} still holds its result")
        name = f"{result.linkedid}.wav"
        for entry in entries:
            shown = entry.recording or ""
            if self._cell.recordings == "file":
                right = shown == name
            else:
                right = shown.startswith(LINK) and shown.endswith(f"/{name}")
            if right == refused:
                wrong.append(f"{result.call_id} has the recording {shown!r}")
        return wrong
