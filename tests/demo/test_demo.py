"""The demo's own judgement: it must see what is missing, doubled or wrong, and refuse what it cannot play."""

import io
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from deploy.demo.expected import NO_CLIENT_NUMBER, Expected, expected
from deploy.demo.observer import Observer
from deploy.demo.recordings import Case, read_recordings, unique_starts
from deploy.demo.report import tell_verdict, verdict
from streams.calls.call import epoch_of
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.classify.truth import classify_case
from streams.errors import UserError
from streams.settings import Settings
from tests.calls.tables import RULES

START = 1_800_000_000
CASES = list(unique_starts(read_recordings(), START))


def entry(result: CallResult, portal: str) -> dict[str, Any]:
    statuses = {
        "bitrix24": str(RULES.tables["bitrix24"].status(result).code),
        "kommo": str(RULES.tables["kommo"].status(result).code),
        "webhook": str(result.result),
    }
    return {"external_id": result.call_id, "status": statuses[portal], "duration": 1 if result.answered else 0}


@pytest.fixture
def right() -> tuple[Observer, list[Expected]]:
    """What an observer has seen after a demo in which all went well."""
    cases = [case for case in CASES if case.name.startswith("inbound_sip_4") or case.direction == "internal"]
    truths = [truth for case in cases for truth in expected(case)]
    observer = Observer(Settings(), {"bitrix24": "", "kommo": "", "webhook": ""})
    for case in cases:
        for result in classify_case({"cel": case.rows}, RULES, PbxProfile()):
            observer.results[result.linkedid] = result
    for portal in observer.portals:
        wanted = [observer.results[truth.linkedid] for truth in truths if truth.stands_in(portal)]
        observer.entries[portal] = [entry(result, portal) for result in wanted]
    return observer, truths


def test_all_well_has_no_fault(right: tuple[Observer, list[Expected]]) -> None:
    observer, truths = right
    assert len(truths) > 10
    assert verdict(observer, truths, RULES) == []


def test_a_missing_entry_is_seen(right: tuple[Observer, list[Expected]]) -> None:
    observer, truths = right
    observer.entries["kommo"].pop()
    assert len(verdict(observer, truths, RULES)) == 1


def test_a_doubled_entry_is_seen(right: tuple[Observer, list[Expected]]) -> None:
    observer, truths = right
    observer.entries["bitrix24"].append(observer.entries["bitrix24"][0])
    assert ["2 entries" in fault for fault in verdict(observer, truths, RULES)] == [True]


def test_a_wrong_status_is_seen(right: tuple[Observer, list[Expected]]) -> None:
    observer, truths = right
    observer.entries["bitrix24"][0]["status"] = "402"
    assert ["has status 402" in fault for fault in verdict(observer, truths, RULES)] == [True]


def test_a_missing_result_and_a_wrong_answer_are_seen(right: tuple[Observer, list[Expected]]) -> None:
    observer, truths = right
    internal = [truth for truth in truths if not truth.external and truth.answered is not None]
    missing, wrong = internal[0].linkedid, internal[1].linkedid
    del observer.results[missing]
    known = observer.results[wrong]
    observer.results[wrong] = msgspec.structs.replace(known, answered=not known.answered)
    assert len(verdict(observer, truths, RULES)) == 2


def test_an_internal_call_in_a_crm_and_a_dead_letter_are_seen(right: tuple[Observer, list[Expected]]) -> None:
    observer, truths = right
    internal = next(truth for truth in truths if not truth.external)
    observer.entries["kommo"].append(entry(observer.results[internal.linkedid], "kommo"))
    observer.dead_letters.append({"reason": "late_row"})
    assert len(verdict(observer, truths, RULES)) == 2


def test_a_webhook_gets_internal_calls_and_no_pieces() -> None:
    (pickup,) = [case for case in CASES if case.name == "inbound_pickup_directed"]
    assert [truth.stands_in("webhook") for truth in expected(pickup)] == [True, False]
    internal = [truth for case in CASES if case.direction == "internal" for truth in expected(case)]
    assert {(truth.stands_in("kommo"), truth.stands_in("webhook")) for truth in internal} == {(False, True)}


def test_moved_cases_keep_their_ids_apart_and_their_truth() -> None:
    linkedids = [linkedid for case in CASES for linkedid in case.linkedids]
    assert len(set(linkedids)) == len(linkedids) == 293
    assert all(START <= (epoch_of(linkedid) or 0) < START + 600 for linkedid in linkedids)
    truths = [truth for case in CASES for truth in expected(case)]
    assert {truth.linkedid for truth in truths} == set(linkedids)
    assert NO_CLIENT_NUMBER.keys() <= {case.name for case in CASES}


def test_moving_changes_no_outcome() -> None:
    before = [case for case in read_recordings() if case.name == "inbound_dtmf_att_transfer_answered"]
    after: list[Case] = list(unique_starts(before, START))
    told = [classify_case({"cel": case.rows}, RULES, PbxProfile())[0] for case in (*before, *after)]
    assert told[0].talked_with == told[1].talked_with == ("1001", "1002")
    assert told[0].result == told[1].result


@pytest.mark.parametrize("line", ["{", "{}", '{"case":"a","direction":"inbound","cel":[{"eventtime":"never"}]}', "[]"])
def test_a_malformed_recording_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text('{"case":"a","direction":"inbound","cel":[]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: malformed recording"):
        read_recordings(path)


def test_every_call_that_a_crm_does_not_get_is_told_with_its_reason() -> None:
    truths = [truth for case in read_recordings() for truth in expected(case)]
    console = Console(record=True, width=200, file=io.StringIO())
    tell_verdict(console, [], truths, ["kommo"])
    text = console.export_text()
    named = len(re.findall(r"in no CRM: \w+: ", text))
    counted = [int(number) for number in re.findall(r"(?:in no CRM|nowhere): (\d+) ", text)]
    assert len(counted) == 2 and len(truths) - named - sum(counted) == sum(truth.external for truth in truths)
