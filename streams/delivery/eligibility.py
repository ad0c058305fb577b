"""Which calls a portal gets.

A CRM gets the calls with an outside party that can be named; a webhook all but pieces of other calls.
"""

from streams.calls.result import CallResult


def skip_reason(
    result: CallResult, *, internal: bool = False, unknown: bool = False, number_needed: bool = True
) -> str | None:
    """Why a call gets no entry in a CRM; None: it gets one.

    `internal`, `unknown`: the portal's `deliver_internal` and `deliver_unknown`; `number_needed`: the CRM can do
    nothing with a call that has no number.
    """
    if result.abandoned:
        return "a piece of another call, without an outside party of its own"
    if result.direction == "internal" and not internal:
        return "an internal call (portals[].deliver_internal)"
    if result.direction == "unknown" and not unknown:
        return "its direction is unknown (portals[].deliver_unknown)"
    if number_needed and result.client is None and not (result.direction == "internal" and result.called):
        return "no outside number that a CRM could use"
    return None
