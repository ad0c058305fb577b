"""The recording of a call: the last that was attached."""

from __future__ import annotations

from deploy.fake_crms.journal import Event


def recording_of(recordings: list[Event], call_id: str) -> Event | None:
    """A call's recording; None: it has none."""
    return next((each for each in reversed(recordings) if each["call_id"] == call_id), None)


def address_of(recordings: list[Event], call_id: str) -> str | None:
    """The address that it was fetched from; None: it was sent as a file, or there is none."""
    return (recording_of(recordings, call_id) or {}).get("address")


def shown_of(recordings: list[Event], call_id: str) -> str | None:
    """Its address, or its name where it was sent as a file; None: there is none."""
    recording = recording_of(recordings, call_id)
    return None if recording is None else str(recording["address"] or recording["name"])
