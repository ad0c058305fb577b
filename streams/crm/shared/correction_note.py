"""The words of a note beside a delivered call, about a later version of it."""

from streams.crm.registry import kind_of
from streams.crm.shared.call_fields import external_id
from streams.delivery.record import Delivery


def note_marker(delivery: Delivery, version: int, correction: int = 0) -> str:
    """The words by which the note is found again."""
    told = f"v{version}.{correction}" if correction else f"v{version}"
    return f"cel2crm {external_id(delivery.call_id, kind_of(delivery.crm).longest_external_id)} {told}"


def correction(delivery: Delivery, before: str, after: str) -> str:
    """The note's words; empty where the CRM shows the same before and after, so that there is nothing to tell."""
    if before == after:
        return ""
    return f"Call result corrected: {after}; before: {before}. ({note_marker(delivery, *delivery.order)})"


def as_shown(status: object, words: str | None, seconds: object) -> str:
    """A call as a person sees it in the CRM."""
    return ", ".join(part for part in (f"{status} {words or ''}".strip(), f"{seconds} s") if part)
