"""What cel.conf does not log: the same recorded calls with rows or columns left out are told the same, or less."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.recordings import RECORDINGS
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.classify.truth import classify_case, read_cases
from tests.calls.tables import RULES

Row = dict[str, Any]
CASES = read_cases(Path(RECORDINGS))[::4]
BRIDGE_EVENTS = ("BRIDGE_ENTER", "BRIDGE_EXIT")
FEATURES = (
    "STREAM_BEGIN", "STREAM_END", "DTMF", "LOCAL_OPTIMIZE", "LOCAL_OPTIMIZE_BEGIN", "PARK_START", "PARK_END", "PICKUP",
    "BLINDTRANSFER", "ATTENDEDTRANSFER",
)  # fmt: skip


def without(*events: str) -> Callable[[Row], Row | None]:
    return lambda row: None if row["eventtype"] in events else row


def empty(*columns: str) -> Callable[[Row], Row | None]:
    return lambda row: {**row, **dict.fromkeys(columns, "")}


def results_of(
    case: Row, change: Callable[[Row], Row | None] = dict, profile: PbxProfile | None = None
) -> dict[str, CallResult]:
    rows = [changed for row in case["cel"] if (changed := change(dict(row))) is not None]
    return {result.linkedid: result for result in classify_case({**case, "cel": rows}, RULES, profile or PbxProfile())}


def facts(result: CallResult, *left_out: str) -> dict[str, object]:
    names = ("direction", "caller", "called", "client", "answered", "answered_by", "talked_with", "result", "rang_last")
    return {name: getattr(result, name) for name in names if name not in left_out}


ALL = tuple[Callable[[Row], Row | None], tuple[str, ...]]
VARIANTS: dict[str, ALL] = {
    "no APP rows": (without("APP_START", "APP_END"), ()),
    "no LINKEDID_END": (without("LINKEDID_END"), ()),
    "no CHAN_END": (without("CHAN_END"), ()),
    "no STREAM, DTMF, PARK, PICKUP and transfer rows": (without(*FEATURES), ()),
    "no HANGUP": (without("HANGUP"), ("result",)),
    "extra empty": (empty("extra"), ("result",)),
    "exten empty": (empty("exten"), ("called", "client")),
    "appdata empty": (empty("appdata"), ()),
    "whole seconds": (lambda row: {**row, "eventtime": row["eventtime"].partition(".")[0]}, ()),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_calls_are_told_the_same_where_cel_conf_logs_less(variant: str) -> None:
    change, left_out = VARIANTS[variant]
    for case in CASES:
        if variant.startswith("exten") and case["direction"] != "inbound":
            continue
        less = results_of(case, change)
        for linkedid, result in results_of(case).items():
            if linkedid in less:
                assert facts(less[linkedid], *left_out) == facts(result, *left_out), case["case"]


def test_incoming_calls_stay_incoming_without_chan_start_rows() -> None:
    for case in CASES:
        if case["direction"] == "inbound":
            less = results_of(case, without("CHAN_START"))
            for linkedid, result in results_of(case).items():
                if linkedid in less and not result.abandoned and result.direction == "incoming":
                    # Which of two phones that fell silent together began to ring last stands in those rows alone.
                    assert facts(less[linkedid], "rang_last") == facts(result, "rang_last"), case["case"]


def test_without_bridge_rows_the_setting_makes_the_dial_status_decide() -> None:
    behind_local = ("local_n_to_queue", "local_n_to_voicemail")  # ANSWER by a machine: docs/call-status.md, 2
    for case in CASES:
        less = results_of(case, without(*BRIDGE_EVENTS), PbxProfile(bridges_logged=False))
        for linkedid, result in results_of(case).items():
            if linkedid in less and not result.abandoned and not any(each in case["case"] for each in behind_local):
                assert less[linkedid].answered == result.answered, case["case"]


def test_answered_calls_whose_bridges_are_not_logged_are_warned_of() -> None:
    for case in CASES:
        for result in results_of(case, without(*BRIDGE_EVENTS)).values():
            if result.dial_status == "ANSWER":
                assert not result.answered
                assert any("aggregate.bridges_logged" in sentence for sentence in result.why), case["case"]


@pytest.mark.parametrize("prefix", ["pbx1", "pbx-west-2", "42"])
def test_systemname_before_the_ids_changes_nothing(prefix: str) -> None:
    for case in CASES[::3]:
        named = results_of(
            case,
            lambda row: {**row, "uniqueid": f"{prefix}-{row['uniqueid']}", "linkedid": f"{prefix}-{row['linkedid']}"},
        )
        for linkedid, result in results_of(case).items():
            other = named[f"{prefix}-{linkedid}"]
            assert facts(other) == facts(result), case["case"]
            assert (other.started_at, other.talk_seconds) == (result.started_at, result.talk_seconds), case["case"]
