"""The check of a webhook's receiver (shared/check.py): settings, address, name, certificate. No event is sent."""

from streams.crm.shared.check import CheckRequest, Finding, Level, unreachable
from streams.crm.webhook.client import WebhookClient
from streams.http.request import NothingSent, Reply

UNPROVED = "whether it accepts the signature is shown by the first call"


async def check(request: CheckRequest) -> list[Finding]:
    """What can be told without an event: an OPTIONS request, which changes nothing. Raises SettingsError."""
    client = WebhookClient(request.portal)
    try:
        await request.pace()
        ending = await client.ask_options(request.until)
    finally:
        await client.close()
    found = [Finding(Level.GOOD, "settings", "address and secret have the form that they need")]
    if isinstance(ending, NothingSent) and ending.needs_a_person:
        remedy = "Mend the certificate, or set another address; for a receiver in your own network: allow_private."
        return [*found, Finding(Level.FAULT, "receiver", ending.why, remedy)]
    if not isinstance(ending, Reply):
        return [*found, unreachable(ending)]
    return [*found, _answered(ending.status)]


def _answered(status: int) -> Finding:
    """What a status to OPTIONS tells. Most receivers know POST only, and say 405 or 404 to anything else."""
    if 300 <= status < 400:
        words = f"its address leads elsewhere (HTTP {status}), and redirects are not followed"
        return Finding(Level.FAULT, "receiver", words, "Set the new address as portals[].url.")
    if status == 410:
        words = "it answers 410: it wants no calls any more"
        return Finding(Level.FAULT, "receiver", words, "Ask who runs it, then `cel2crm portal enable`.")
    if status >= 500:
        return Finding(Level.AWAY, "receiver", f"it answers HTTP {status}", "Try again when it is well.")
    if status == 404:
        words = "it answers 404 to OPTIONS, as some do that take POST, and as one does that is not there"
        return Finding(Level.NOTE, "receiver", words, "Make sure that the path of portals[].url is right.")
    return Finding(Level.GOOD, "receiver", f"it answers (HTTP {status} to OPTIONS); {UNPROVED}")
