"""What is missing from a call's rows, as far as they were read, put on its result."""

import msgspec

from streams.calls.call import Call
from streams.calls.result import CallResult, CallWarning
from streams.calls.timeline import Timeline

_UNMEASURED = ("talk_seconds", "ringing_seconds", "queue_seconds", "ivr_seconds", "answered_at")


def with_gaps(result: CallResult, call: Call, timeline: Timeline) -> CallResult:
    """The result, marked where rows or times of the call could not be read. Before it is stamped."""
    if not (timeline.unreadable or timeline.coarse or call.unreadable_rows):
        return result
    changed: dict[str, object] = {}
    warnings, why = list(result.warnings), list(result.why)
    if timeline.unreadable or timeline.coarse:
        warnings.append(CallWarning.TIME)
        why.append(
            "times without seconds: no span can be measured"
            if timeline.coarse
            else "the time of some row cannot be read (dateformat in cel.conf?)"
        )
        if not timeline.measures:
            changed |= dict.fromkeys(_UNMEASURED)
    if call.unreadable_rows:
        warnings.append(CallWarning.ROWS)
        reason = f"{call.unreadable_rows} rows that are, or may be, of this call could not be read"
        why.append(reason)
        changed |= {"complete": False, "incomplete_reason": result.incomplete_reason or reason}
    return msgspec.structs.replace(result, **changed, warnings=tuple(warnings), why=tuple(why))
