"""A template filled from a call: dates in the PBX's zone, and nothing that a caller chose leads elsewhere."""

import pytest
from pydantic import ValidationError

from streams.recordings.template import MissingValue, RefusedValue, address_of, file_of, values_of
from streams.settings import RecordingSettings
from tests.crm.calls import call_result

FREEPBX = "{year}/{month}/{day}/{recordingfile}"


def test_dates_are_those_of_the_start_where_the_pbx_is() -> None:
    late = call_result(started_at=1_764_028_700_000_000, utc_offset_seconds=10_800)  # 23:58:20 UTC
    values = values_of(late, "in-1001.wav")
    assert file_of(FREEPBX, values) == "2025/11/25/in-1001.wav"
    assert file_of("{hour}{minute}{second}-{uniqueid}.wav", values) == f"025820-{late.linkedid}.wav"
    assert file_of(
        FREEPBX, values_of(call_result(started_at=1_764_028_700_000_000, utc_offset_seconds=0), "a.wav")
    ) == ("2025/11/24/a.wav")


def test_an_address_is_quoted() -> None:
    values = values_of(call_result(did="+7#1"), "2025/11/25/a.wav")
    assert address_of("https://pbx/{did}/{recordingfile}", values) == "https://pbx/%2B7%231/2025/11/25/a.wav"


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "/etc/passwd", "a//b.wav", "a\0.wav", "a b.wav", "..", "a\\b.wav", "é.wav"]
)
def test_a_name_that_leads_elsewhere_is_refused(value: str) -> None:
    for fill in (file_of, address_of):
        with pytest.raises(RefusedValue, match="folder") as told:
            fill(
                "https://pbx/{recordingfile}" if fill is address_of else "{recordingfile}",
                values_of(call_result(), value),
            )
        assert value not in str(told.value)


def test_a_number_that_a_caller_chose_cannot_be_a_folder() -> None:
    with pytest.raises(RefusedValue):
        file_of("{caller}/{uniqueid}.wav", values_of(call_result(caller="../../etc")))
    with pytest.raises(RefusedValue):
        file_of("{did}.wav", values_of(call_result(did="..")))


def test_a_call_that_lacks_a_value_has_no_recording() -> None:
    with pytest.raises(MissingValue, match="the call has no did"):
        file_of("{did}.wav", values_of(call_result(did=None)))


LINKED = {"folder": "/srv", "link": "https://pbx.example.com/r", "link_key": "k" * 40}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({**LINKED, "file": "../{uniqueid}.wav"}, "leaves its folder"),
        ({**LINKED, "file": "/etc/{uniqueid}.wav"}, "leaves its folder"),
        ({**LINKED, "file": "{uniqueid.__class__}.wav"}, "none of the fields"),
        ({**LINKED, "file": "{nobody}.wav"}, "none of the fields"),
        ({**LINKED, "file": "{uniqueid!r}.wav"}, "none of the fields"),
        ({**LINKED, "file": "{uniqueid.wav"}, "is not a template"),
        ({**LINKED, "file": "{recordingfile}"}, "{recordingfile} needs cdr"),
        ({"file": "{uniqueid}.wav"}, "file needs folder"),
        ({"file": "{uniqueid}.wav", "folder": "/srv"}, "file needs link"),
        ({"file": "{uniqueid}.wav", "folder": "/srv", "link": "https://pbx/r"}, "link needs link_key_file"),
        ({**LINKED, "file": "{uniqueid}.wav", "link": "pbx.example.com"}, "it is an address such as"),
        ({"address": "https://{did}/{uniqueid}.wav"}, "with fields only behind"),
        ({"address": "https://user:pass@pbx/{uniqueid}.wav"}, "without a name or password"),
        ({"address": "file:///etc/{uniqueid}"}, "begins with https://"),
        ({"address": "https://pbx/{uniqueid}.wav", "send": "file"}, "send: file needs file"),
        ({}, "set either address, or file"),
        ({**LINKED, "file": "a.wav", "address": "https://pbx/a.wav"}, "set either address, or file"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_sentence(fields: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RecordingSettings.model_validate(fields)
    (fault,) = refused.value.errors()
    assert told in fault["msg"]
