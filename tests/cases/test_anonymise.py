"""Rows without what could tell who called: nothing stays, and the same is always replaced by the same."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.calls.pbx_profile import PbxProfile
from streams.cases.anonymise import DROPPED, Anonymised, anonymise
from streams.rows.row import CelRow

PROFILE = PbxProfile()


def shape(number: str) -> tuple[bool, bool]:
    return PROFILE.is_extension(number), (PROFILE.normalised_number(number) or "").startswith("+")


def row(**columns: Any) -> CelRow:
    given = {"id": 1, "eventtype": "APP_START", "eventtime": "2026-11-22 23:23:00", "linkedid": "1795389780.0"}
    return CelRow(**{**given, "uniqueid": "1795389780.1234567", **columns})


def only(*rows: CelRow, **options: Any) -> tuple[dict[str, str], Anonymised]:
    done = anonymise(rows, shape, **options)
    return done.rows[-1], done


def test_a_number_is_the_same_number_wherever_it_stands() -> None:
    anonymous, _ = only(
        row(
            cid_num="79161234567", cid_ani="+79161234567", cid_rdnis="89161234567", exten="79161234567",
            channame="Local/79161234567@from-internal-00000001;1", peer="PJSIP/79161234567-0000000a",
            appname="Dial", appdata="PJSIP/79161234567@trunk1&PJSIP/trunk1/sip:79161234567@10.1.2.3:5060,30,tT",
            extra='{"forward":"79161234567"}', context="from-pstn-79161234567",
        )
    )  # fmt: skip
    tail = anonymous["cid_num"][-7:]
    assert anonymous["cid_num"] == f"7916{tail}" != "79161234567"
    assert anonymous["cid_ani"] == f"+7916{tail}"
    assert anonymous["cid_rdnis"] == f"8916{tail}"
    assert anonymous["exten"] == f"7916{tail}"
    assert anonymous["channame"] == f"Local/7916{tail}@from-internal-00000001;1"
    assert anonymous["peer"] == f"PJSIP/7916{tail}-0000000a"
    assert anonymous["appdata"] == f"PJSIP/7916{tail}@phone1&PJSIP/phone1/sip:7916{tail}@192.0.2.1:5060,30,tT"
    assert anonymous["extra"] == f'{{"forward":"7916{tail}"}}'
    assert anonymous["context"] == f"from-pstn-7916{tail}"
    assert shape(anonymous["cid_num"]) == shape("79161234567")


def test_extensions_stay_short_and_different() -> None:
    anonymous, _ = only(
        row(cid_num="1001", exten="1002", channame="PJSIP/1001-00000001", appname="Dial",
            appdata="PJSIP/1002&PJSIP/1003&Local/1004@from-internal/n,30,tT")
    )  # fmt: skip
    assert anonymous["cid_num"] == anonymous["channame"][6:10] == "1100"
    assert anonymous["exten"] == "1101"
    assert anonymous["appdata"] == "PJSIP/1101&PJSIP/1102&Local/1103@from-internal/n,30,tT"


@pytest.mark.parametrize(
    ("exten", "expected"),
    [
        ("*98", "*98"),
        ("*81001", "*81100"),
        ("**1001", "**1100"),
        ("s", "s"),
        ("h", "h"),
        ("", ""),
        ("s-NOANSWER", "s-NOANSWER"),
    ],
)
def test_feature_codes_stay_and_the_number_after_them_is_replaced(exten: str, expected: str) -> None:
    assert only(row(cid_num="1001", exten=exten))[0]["exten"] == expected


def test_names_hosts_and_addresses_go() -> None:
    anonymous, done = only(
        row(
            cid_name="Иванов, O'Neil; 100%", cid_num="sip:ivan.petrov@pbx.acme-corp.ru",
            peer="PJSIP/acme-backup-0000001b", channame="PJSIP/acme-0000001a",
            appname="Dial", appdata="PJSIP/+79161234567@acme,30,b(acme^s^1)",
            extra='{"note":"mail to ivan.petrov@acme-corp.ru from 192.168.7.7 or fe80::1:2","hangupcause":16}',
        ),
        trunks={"acme"},
    )  # fmt: skip
    text = json.dumps({**anonymous, "uniqueid": ""}, ensure_ascii=False)
    for original in ("Иванов", "Neil", "ivan", "petrov", "acme", "192.168", "fe80", "1234567"):
        assert original not in text
    assert anonymous["channame"] == "PJSIP/trunk1-0000001a"
    assert anonymous["peer"] == "PJSIP/phone1-0000001b"
    assert json.loads(anonymous["extra"])["hangupcause"] == 16
    assert done.counts["hosts and addresses"] > 0


def test_trunks_are_kept_where_asked_for_but_not_the_numbers_in_them() -> None:
    anonymous, _ = only(row(channame="PJSIP/mts-79161234567-0000001a"), trunks={"mts-79161234567"}, keep_trunks=True)
    assert re.fullmatch(r"PJSIP/mts-7916\d{7}-0000001a", anonymous["channame"])
    assert "1234567" not in anonymous["channame"]


def test_what_classifying_needs_of_extra_stays_byte_for_byte() -> None:
    extra = '{"hangupcause":17,"hangupsource":"dialplan/builtin","dialstatus":"CHANUNAVAIL"}'
    assert only(row(extra=extra, exten="17", cid_num="17"))[0]["extra"] == extra
    bridge = '{"bridge_id":"09bd53f9-045d-4fd2-877a-045671234567","bridge_technology":"simple_bridge"}'
    assert only(row(extra=bridge, cid_num="79161234567"))[0]["extra"] == bridge
    transfer = '{"transferee_channel_uniqueid":"1795389780.1234567"}'
    assert only(row(extra=transfer, cid_num="79161234567"))[0]["extra"] == transfer


def test_free_texts_and_keyed_digits_are_dropped() -> None:
    anonymous, done = only(row(appname="AGI", appdata="agi://h/?secret=1", extra='{"digit":"7"}'))
    assert anonymous["appdata"] == DROPPED
    assert anonymous["extra"] == '{"digit":"0"}'
    assert done.dropped == 1
    assert only(row(eventtype="NOTE", extra='{"extra":"call Ivan"}'))[0]["extra"] == f'{{"extra":"{DROPPED}"}}'


def test_ids_and_times_and_events_stay() -> None:
    anonymous, _ = only(row(cid_num="79161234567", appname="Queue", appdata="sales-acme,tT"))
    assert (anonymous["uniqueid"], anonymous["linkedid"]) == ("1795389780.1234567", "1795389780.0")
    assert (anonymous["eventtype"], anonymous["eventtime"], anonymous["appname"]) == (
        "APP_START",
        "2026-11-22 23:23:00",
        "Queue",
    )
    assert anonymous["appdata"] == "queue1,tT"
    assert anonymous["accountcode"] == anonymous["userfield"] == ""


@given(
    st.lists(st.from_regex(r"\A\+?[1-9][0-9]{5,13}\Z"), min_size=1, max_size=6, unique=True),
    st.lists(st.from_regex(r"\A[1-9][0-9]{1,3}\Z"), max_size=8, unique=True),
)
def test_no_two_numbers_become_one_and_lengths_stay(outside: list[str], inside: list[str]) -> None:
    numbers = [*outside, *inside]
    done = anonymise([row(cid_num=number, appname="Dial", appdata=f"SIP/{number}@t1") for number in numbers], shape)
    replaced = [each["cid_num"] for each in done.rows]
    assert [len(each) for each in replaced] == [len(each) for each in numbers]
    assert len(set(replaced)) == len(numbers)
    assert all(number in each["appdata"] for number, each in zip(replaced, done.rows, strict=True))
    assert [PROFILE.is_extension(each) for each in replaced] == [PROFILE.is_extension(each) for each in numbers]


@given(st.text(max_size=60))
def test_any_text_is_anonymised(text: str) -> None:
    fields = ("cid_name", "cid_num", "exten", "channame", "peer", "appdata", "extra")
    anonymous, _ = only(row(appname="Dial", **dict.fromkeys(fields, text)))
    assert set(anonymous) >= set(CelRow.__struct_fields__)
