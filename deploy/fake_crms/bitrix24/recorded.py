"""The recording of a call: the last that was attached, by its call."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.fake_crms.journal import Event


def address_of(recorded: Mapping[str, Event], call_id: str) -> str | None:
    """The address that it was fetched from; None: it was sent as a file, or there is none."""
    return recorded.get(call_id, {}).get("address")


def shown_of(recorded: Mapping[str, Event], call_id: str) -> str | None:
    """Its address, or its name where it was sent as a file; None: there is none."""
    recording = recorded.get(call_id)
    return None if recording is None else str(recording["address"] or recording["name"])
