"""A later version of a delivered call, told beside it: the words of the note."""

from streams.crm.call_fields import external_id
from streams.delivery.record import Delivery


def mark(delivery: Delivery, version: int) -> str:
    """What the note is found by again."""
    return f"cel2crm {external_id(delivery.call_id)} v{version}"


def correction(delivery: Delivery, before: str, after: str) -> str:
    """The note's words; empty where the CRM shows the same before and after, so that there is nothing to tell."""
    if before == after:
        return ""
    return f"Call result corrected: {after}; before: {before}. ({mark(delivery, delivery.version)})"


def shown(status: object, words: str | None, seconds: object) -> str:
    """A call as a person sees it in the CRM."""
    return ", ".join(part for part in (f"{status} {words or ''}".strip(), f"{seconds} s") if part)
