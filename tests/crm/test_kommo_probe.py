"""The probe of Kommo against its fake, in both ways of each point: what it says, leaves and removes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.fake_crms import KommoConfig, KommoPortal
from streams.crm.kommo import probe_account
from streams.crm.shared.probe import (
    NUMBER,
    PREFIX,
    Fate,
    Outcome,
)
from tests.crm.probes import made, probed, result, tried


@pytest.fixture
async def kommo(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KommoPortal]:
    monkeypatch.setattr(probe_account, "PAUSE_SECONDS", 0.01)
    async with KommoPortal(KommoConfig(requests_per_second=0)) as portal:
        yield portal


async def test_kommo_as_the_fake_is_everything_is_the_same(kommo: KommoPortal) -> None:
    report = await probed(kommo)
    assert tried(report) == dict.fromkeys((4, 5, 6), Outcome.SAME), report.results
    assert {str(call["call"].get("uniq") or "")[: len(PREFIX)] for call in kommo.account.notes} == {PREFIX}
    assert {call["call"]["phone"] for call in kommo.account.notes} == {NUMBER}
    assert {one["name"][: len(PREFIX)] for one in kommo.account.contacts.values()} == {PREFIX}
    addresses = {one.where for one in report.made if one.fate is Fate.STAYS}
    assert {"/contacts/detail/700001", "/leads/detail/800001"} <= addresses
    assert Fate.THERE not in {one.fate for one in report.made}


@pytest.mark.parametrize(
    ("point", "settings", "words", "follows"),
    [
        (4, {"note_updated_at": "created"}, "the time of the call", "finds such a call all the same"),
        (5, {"others_as_maker": "nobody"}, "no", "count them for a robot"),
        (5, {"others_as_maker": "replaced"}, "the call stands as of user 1", "count it for him"),
        (6, {"card_shows": "line"}, "the line's", "wrong number"),
    ],
)
async def test_kommo_the_other_way_of_each_point_is_a_difference(
    kommo: KommoPortal, point: int, settings: dict[str, Any], words: str, follows: str
) -> None:
    kommo.change_settings(**settings)
    report = await probed(kommo)
    assert tried(report) == {number: Outcome.DIFFERENT if number == point else Outcome.SAME for number in (4, 5, 6)}
    assert words in result(report, point).words and follows in result(report, point).follows


@pytest.mark.parametrize(("ways", "outcome"), [("administrators", Outcome.SAME), ("everybody", Outcome.DIFFERENT)])
async def test_kommo_a_token_of_no_administrator(kommo: KommoPortal, ways: str, outcome: Outcome) -> None:
    kommo.change_settings(owner_is_admin=False, others_as_maker=ways)
    found = result(await probed(kommo, 5), 5)
    assert found.outcome is outcome and "is no administrator" in found.details[0]


async def test_kommo_an_account_of_one_user_leaves_the_maker_out(kommo: KommoPortal) -> None:
    kommo.change_settings(owner_is_admin=False)
    found = result(await probed(kommo, 5, default_user=None), 5)
    assert found.outcome is Outcome.LEFT_OUT and "invite one" in found.words


async def test_kommo_a_user_who_left_is_no_finding(kommo: KommoPortal) -> None:
    found = result(await probed(kommo, 5, asked={"user": "19"}), 5)
    assert found.outcome is Outcome.NOT_DONE and "user 19" in found.words


async def test_kommo_a_second_probe_takes_the_contact_of_the_first(kommo: KommoPortal) -> None:
    await probed(kommo, 4)
    report = await probed(kommo, 4, run=2)
    assert tried(report) == {4: Outcome.SAME} and len(kommo.account.contacts) == 1
    assert len(kommo.account.notes) == 2


async def test_kommo_what_a_dead_probe_left_is_declined_by_the_next(kommo: KommoPortal) -> None:
    kommo.faults.order({"mode": "500", "methods": ["accept_unsorted", "decline_unsorted"], "times": 2})
    first = await probed(kommo, 6)
    assert tried(first) == {6: Outcome.NOT_DONE}
    (left,) = made(first, "incoming lead")
    assert left.fate is Fate.STAYS and "settled" not in kommo.account.unsorted[0]
    second = await probed(kommo, 4, run=2)
    assert made(second, "incoming lead")[0].fate is Fate.REMOVED
    assert kommo.account.unsorted[0]["settled"] == "declined"


async def test_kommo_incoming_leads_of_others_are_let_be(kommo: KommoPortal) -> None:
    meta = {"phone": "74951112233", "called_at": 1, "duration": 0, "link": "", "service_code": "x"}
    theirs = {"source_name": "Office", "source_uid": "office-1", "metadata": meta}
    kommo.account.add_unsorted("a" * 32, kommo.account.next_lead, theirs, kommo.now())
    await probed(kommo)
    assert "settled" not in kommo.account.unsorted[0]


async def test_kommo_an_accepted_lead_without_its_call_is_a_difference(
    kommo: KommoPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_account, "_uniq", lambda note: "another")
    found = result(await probed(kommo, 6), 6)
    assert found.outcome is Outcome.DIFFERENT and "no call with our id" in found.words


async def test_kommo_a_number_that_somebody_has_stops_its_points(kommo: KommoPortal) -> None:
    kommo.account.add_client("company", "Ltd", [NUMBER], kommo.now())
    report = await probed(kommo, 4, 5)
    assert set(tried(report).values()) == {Outcome.NOT_DONE} and "--number" in result(report, 4).words
    assert not kommo.account.notes


@pytest.mark.parametrize("mode", ["reset", "429", "500", "html"])
async def test_kommo_trouble_is_no_difference(kommo: KommoPortal, mode: str) -> None:
    kommo.faults.order({"mode": mode, "methods": ["calls"], "times": 1})
    report = await probed(kommo, 4, 5)
    assert tried(report) == {4: Outcome.NOT_DONE, 5: Outcome.SAME}, report.results


async def test_kommo_a_thing_whose_answer_was_lost_is_told(kommo: KommoPortal) -> None:
    kommo.faults.order({"mode": "lost_answer", "methods": ["calls"], "times": 1})
    report = await probed(kommo, 4)
    (call,) = made(report, "call (a note)")
    assert call.id == kommo.account.notes[0]["call"]["uniq"] and "look for it" in call.why


async def test_kommo_a_token_that_is_not_taken(kommo: KommoPortal) -> None:
    report = await probed(kommo, token=SecretStr("s3cret-and-wrong"))
    assert set(tried(report).values()) == {Outcome.NOT_DONE}
    assert "token" in result(report, 4).words and "s3cret" not in f"{report.results}"
