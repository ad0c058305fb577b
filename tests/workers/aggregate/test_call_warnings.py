"""A warning that an operator can mend is counted for each call and logged once."""

from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from streams.calls.result import CallResult, CallWarning
from streams.workers.aggregate.call_warnings import MAX_REPORTED, WarningReporter
from tests.calls.tables import outcome


def strange(channel: str) -> CallResult:
    return outcome(f"""
        0  start   PJSIP/{channel}-01 0 exten=s context=custom
        9  hangup  PJSIP/{channel}-01 0 cause=16
        9  end     PJSIP/{channel}-01 0
        9  over    PJSIP/{channel}-01 0
    """)


def counted(code: str) -> float:
    return REGISTRY.get_sample_value("cel2crm_call_cautions_total", {"caution": code}) or 0.0


def logged(warnings: WarningReporter, *results: CallResult) -> list[Any]:
    with capture_logs() as lines:
        for result in results:
            warnings.report(result)
    return lines


def test_an_unknown_trunk_is_named_once_and_counted_each_time() -> None:
    before = counted(CallWarning.DIRECTION)
    lines = logged(WarningReporter(), strange("provider"), strange("provider"), strange("other"))
    assert [line["detail"].split("neither ")[1].split(",")[0] for line in lines] == ["provider", "other"]
    assert all("numbers.trunks" in line["event"] for line in lines)
    assert counted(CallWarning.DIRECTION) == before + 3


@pytest.mark.parametrize("code", list(CallWarning))
def test_every_warning_has_words(code: str) -> None:
    result = msgspec.structs.replace(strange("provider"), warnings=(code,))
    [line] = logged(WarningReporter(), result)
    assert line["log_level"] == "warning"


def test_numbers_and_names_from_outside_do_not_fill_the_log() -> None:
    lines = logged(WarningReporter(), *(strange(f"provider{number}") for number in range(300)))
    assert len(lines) == MAX_REPORTED
