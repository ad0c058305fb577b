"""A call's recording, as a follow-up of its delivery: where it is is found out first, then the CRM is told.

`find_recording` is a local step: streams/recordings/finder.py looks whether the recording is there, and its answer
carries the ids below. `recording` is the CRM's own request.
"""

from streams.clock import MICROS_PER_SECOND
from streams.delivery.answers import Refused, RetryLater
from streams.delivery.plan import Plan, Step, UnknownOutcome
from streams.delivery.record import Delivery

RECORDING = "recording"
"""The kind of the follow-up, and its step at the CRM."""
FIND = "find_recording"

URL = "recording_url"
"""Among the follow-up's ids: the address from which the CRM gets the recording."""
FILE = "recording_file"
"""Instead of an address: the recording's path on this machine, free of symbolic links."""
NAME = "recording_name"
"""The name that the recording has for people; its end tells what it is."""

MOST_TRIES = 6
"""How often a CRM is asked again that could not get the recording."""


def recording_plan(crm: str, unknown_outcome: UnknownOutcome) -> Plan:
    """The steps of a recording. `unknown_outcome`: how that of the CRM's request is settled."""
    return Plan(
        crm,
        FIND,
        {FIND: Step(RECORDING, UnknownOutcome.RESEND, is_local=True), RECORDING: Step(None, unknown_outcome)},
    )


def address_with_call(delivery: Delivery) -> str | None:
    """The recording's address, where it is known when the call itself is sent; None: it is not."""
    return next((each.ids.get(URL) for each in delivery.follow_ups if each.kind == RECORDING), None)


def again_or_refused(delivery: Delivery, why: str, now: int) -> RetryLater | Refused:
    """The answer where the CRM could not get the recording, as it may later: a few more tries, further and further
    apart (1 minute to half an hour)."""
    if delivery.failures + 1 >= MOST_TRIES:
        return Refused(f"{why} ({MOST_TRIES} tries)")
    return RetryLater(why, now + 60 * MICROS_PER_SECOND * 2**delivery.failures)
