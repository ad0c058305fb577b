"""A template of the settings filled from a call: a file below a folder, or an address.

What a caller can choose (numbers, and names that come from them) is let in only where it can do no harm: a value with
another character than those of numbers and names is refused.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND
from streams.settings.recordings import template_fields

_HARMLESS = re.compile(r"[A-Za-z0-9+*#@_.~=,-]{1,128}")


class MissingValue(ValueError):
    """The call has nothing to put in for a field of the template."""


class RefusedValue(ValueError):
    """A value of the call would lead elsewhere, or may not stand in a file's name."""


def values_of(result: CallResult, recordingfile: str | None = None) -> dict[str, str | None]:
    """The values of a call by field. Dates are those of the call's start, in the zone of its PBX."""
    zone = timezone(timedelta(seconds=result.utc_offset_seconds))
    start = datetime.fromtimestamp(result.started_at // MICROS_PER_SECOND, zone)
    return {
        "pbx": result.pbx,
        "linkedid": result.linkedid,
        "uniqueid": result.linkedid,  # of the channel that began the call
        "did": result.did,
        "extension": result.extension,
        "caller": result.caller,
        "called": result.called,
        "client": result.client,
        "recordingfile": recordingfile,
        "year": f"{start:%Y}",
        "month": f"{start:%m}",
        "day": f"{start:%d}",
        "hour": f"{start:%H}",
        "minute": f"{start:%M}",
        "second": f"{start:%S}",
    }


def file_of(template: str, values: Mapping[str, str | None]) -> str:
    """The file, relative to its folder, its parts separated by /. Raises MissingValue or RefusedValue."""
    filled = template.format_map(_checked(template, values))
    if any(part in ("", ".", "..") for part in filled.split("/")):
        raise RefusedValue("the recording's name leads out of its folder")
    return filled


def address_of(template: str, values: Mapping[str, str | None]) -> str:
    """The address. Raises MissingValue or RefusedValue."""
    checked = _checked(template, values)
    filled = template.format_map({name: quote(value, safe="/") for name, value in checked.items()})
    if any(part in (".", "..") for part in filled.split("/")):
        raise RefusedValue("the recording's address leads out of its folder")
    return filled


def _checked(template: str, values: Mapping[str, str | None]) -> dict[str, str]:
    checked = {}
    for name in template_fields(template):
        value = values.get(name)
        if not value:
            raise MissingValue(f"the call has no {name}, which the template of its recording asks for")
        for part in value.split("/") if name == "recordingfile" else [value]:
            if not _HARMLESS.fullmatch(part) or part in (".", ".."):
                raise RefusedValue(f"the call's {name} may not stand in a recording's name or would leave its folder")
        checked[name] = value
    return checked
