"""The probe of Bitrix24 against its fake, in both ways of each point: what it says, leaves and removes."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import SecretStr
from yarl import URL

from deploy.fake_crms import STAFF, Bitrix24Config, Bitrix24Portal, PortalUser
from deploy.fake_crms.bitrix24 import crm_methods, person
from deploy.fake_crms.bitrix24.calls import CallStore
from deploy.fake_crms.bitrix24.fields import TelephonyError
from deploy.fake_crms.bitrix24.limits import FINISH_SECONDS
from streams.crm.bitrix24 import probe_servers
from streams.crm.bitrix24.probe import FREE_INNERS
from streams.crm.bitrix24.tokens import Bitrix24Tokens
from streams.crm.shared.probe import (
    NUMBER,
    PREFIX,
    Fate,
    Outcome,
)
from streams.http.request import session as real_session
from tests.crm.probes import made, probed, result, tried


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield portal


async def test_bitrix24_as_the_fake_is_everything_is_the_same(bitrix24: Bitrix24Portal) -> None:
    report = await probed(bitrix24, webhook_url=SecretStr(bitrix24.webhook_url))
    assert tried(report) == dict.fromkeys((1, 3, 7, 8), Outcome.SAME), report.results
    assert "WRONG_AUTH_TYPE" in result(report, 1).words and "OAuth" in result(report, 2).words
    calls = list(bitrix24.calls.registrations.values())
    assert calls and bitrix24.orphans() == [] and bitrix24.popups() == []
    assert {call.phone for call in calls} == {NUMBER} and {call.type for call in calls} == {1}
    assert all(str(call.external_id).startswith(PREFIX) for call in calls)
    assert not any(entry.missed for entry in bitrix24.entries())
    gone = {number for kind, number in bitrix24.crm.deleted if kind == "ACTIVITY"}
    assert len(gone) == len(calls)
    assert {one.fate for one in made(report, "activity of a call")} == {Fate.REMOVED}
    assert len(made(report, "call in the statistics")) == len(calls)
    assert Fate.THERE not in {one.fate for one in report.made}


@pytest.mark.parametrize(
    ("point", "settings", "words", "follows"),
    [
        (1, {"webhook_allowed": True}, "yes: both methods took it", "will do"),
        (3, {"window_from": "registration"}, "from the registration", "registered again"),
        (7, {"operating_cost": 3.0}, "3.00 s each", "160 calls in ten minutes"),
        (8, {"unknown_inner": "not_found"}, "not with these words", "go to default_user all the same"),
        (8, {"unknown_inner": "owner"}, "not with these words", "somebody whom the portal chose"),
    ],
)
async def test_bitrix24_the_other_way_of_each_point_is_a_difference(
    bitrix24: Bitrix24Portal, point: int, settings: dict[str, Any], words: str, follows: str
) -> None:
    bitrix24.change_settings(**settings)
    report = await probed(bitrix24, webhook_url=SecretStr(bitrix24.webhook_url))
    assert tried(report) == {number: Outcome.DIFFERENT if number == point else Outcome.SAME for number in (1, 3, 7, 8)}
    assert words in result(report, point).words and follows in result(report, point).follows
    assert bitrix24.orphans() == []


async def test_bitrix24_the_vendors_own_sample_is_no_difference(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(operating_cost=FINISH_SECONDS)
    report = await probed(bitrix24, 7)
    assert result(report, 7).outcome is Outcome.SAME and "1.41 s each" in result(report, 7).words


async def test_bitrix24_words_that_the_product_does_not_know_are_dead_letters(
    bitrix24: Bitrix24Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(inner: str, config: object) -> int | None:
        raise TelephonyError("Extension unknown")

    monkeypatch.setattr(person, "_of_inner", refused)
    found = result(await probed(bitrix24, 8), 8)
    assert found.outcome is Outcome.DIFFERENT and "dead letters" in found.follows
    assert any("Extension unknown" in each for each in found.details)


async def test_bitrix24_no_repeat_is_ever_the_same_call(
    bitrix24: Bitrix24Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallStore, "_running_call", lambda *_: None)
    found = result(await probed(bitrix24, 3), 3)
    assert found.outcome is Outcome.DIFFERENT and "even at once" in found.words


async def test_bitrix24_test_calls_are_of_the_user_whatever_the_settings_route(bitrix24: Bitrix24Portal) -> None:
    ours = {"users": {"1": "12"}, "route": [{"trunk": "none", "user": "13"}, {"user": "14"}]}
    for user, fields, asked in (("11", ours, {}), ("15", ours, {"user": "15"}), ("1", {"default_user": None}, {})):
        before = len(bitrix24.calls.finished)
        await probed(bitrix24, 3, 8, asked=asked, **fields)
        assert {str(event["user_id"]) for event in bitrix24.calls.finished[before:]} == {user}


async def test_bitrix24_only_the_points_that_are_asked_for(bitrix24: Bitrix24Portal) -> None:
    report = await probed(bitrix24, 3)
    assert tried(report) == {3: Outcome.SAME} and result(report, 8).words == "not asked for"


async def test_bitrix24_a_webhook_portal_says_what_it_refuses(bitrix24: Bitrix24Portal) -> None:
    report = await probed(bitrix24, token=None, webhook_url=SecretStr(bitrix24.webhook_url))
    assert tried(report) == {1: Outcome.SAME, **dict.fromkeys((3, 7, 8), Outcome.NOT_DONE)}
    assert "OAuth" in result(report, 3).words


async def test_bitrix24_a_webhook_that_may_only_register(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(webhook_allowed=True)
    bitrix24.faults.order({"mode": "wrong_auth_type", "times": 1, "methods": ["telephony.externalcall.finish"]})
    report = await probed(bitrix24, 1, webhook_url=SecretStr(bitrix24.webhook_url))
    found = result(report, 1)
    assert found.outcome is Outcome.SAME and "no: finish answers WRONG_AUTH_TYPE" in found.words
    assert bitrix24.orphans() == [], "the portal's own authorisation finishes it"


async def test_bitrix24_a_wrong_webhook_is_no_finding(bitrix24: Bitrix24Portal) -> None:
    wrong = SecretStr(f"{bitrix24.url}/rest/1/wr0ngwr0ng/")
    found = result(await probed(bitrix24, 1, webhook_url=wrong), 1)
    assert found.outcome is Outcome.NOT_DONE and "the webhook itself is not taken" in found.words


async def test_bitrix24_without_the_scope_crm_what_stays_is_told(bitrix24: Bitrix24Portal) -> None:
    bitrix24.change_settings(scopes=("telephony", "user"))
    report = await probed(bitrix24, 3)
    left = made(report, "activity of a call")
    assert left and {one.fate for one in left} == {Fate.STAYS} and "scope crm" in left[0].why
    assert not bitrix24.crm.deleted


async def test_bitrix24_a_lead_that_the_portal_made_of_a_test_call_goes(
    bitrix24: Bitrix24Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CallStore.register

    def with_lead(store: CallStore, params: dict[str, Any], now: float, config: Bitrix24Config) -> dict[str, Any]:
        """A lead is made whatever the call says, as a line of the portal may order."""
        return real(store, {**params, "CRM_CREATE": 1}, now, config)

    monkeypatch.setattr(CallStore, "register", with_lead)
    report = await probed(bitrix24, 3)
    (lead,) = made(report, "lead")
    assert lead.fate is Fate.REMOVED and lead.where == f"/crm/lead/details/{lead.id}/"
    assert bitrix24.crm.known(NUMBER) == []


async def test_bitrix24_what_a_dead_probe_left_is_removed_by_the_next(bitrix24: Bitrix24Portal) -> None:
    call = {"PHONE_NUMBER": NUMBER, "TYPE": 1, "USER_ID": 11, "EXTERNAL_CALL_ID": f"{PREFIX}old/1", "CRM_CREATE": 1}
    registered = bitrix24.calls.register(call, bitrix24.now(), bitrix24.config)
    bitrix24.calls.finish({"CALL_ID": registered["CALL_ID"], "USER_ID": 11}, bitrix24.now(), bitrix24.config)
    assert bitrix24.crm.known(NUMBER)
    report = await probed(bitrix24, 3)
    assert tried(report) == {3: Outcome.SAME}
    assert {("ACTIVITY", 7001), ("LEAD", registered["CRM_CREATED_LEAD"])} <= bitrix24.crm.deleted


async def test_bitrix24_nothing_is_removed_that_is_not_the_probes(bitrix24: Bitrix24Portal) -> None:
    theirs = {"PHONE_NUMBER": "+74951112233", "TYPE": 2, "USER_ID": 11, "CRM_CREATE": 1}
    same_number = {"PHONE_NUMBER": NUMBER, "TYPE": 2, "USER_ID": 11, "EXTERNAL_CALL_ID": "pbx1/1795.1"}
    for call in (theirs, same_number):
        registered = bitrix24.calls.register(call, bitrix24.now(), bitrix24.config)
        bitrix24.calls.finish({"CALL_ID": registered["CALL_ID"], "USER_ID": 11}, bitrix24.now(), bitrix24.config)
    report = await probed(bitrix24)
    assert result(report, 3).outcome is Outcome.SAME
    assert not {("ACTIVITY", 7001), ("ACTIVITY", 7002)} & bitrix24.crm.deleted
    assert not any(kind == "LEAD" for kind, _ in bitrix24.crm.deleted)


async def test_bitrix24_an_activity_that_belongs_to_another_call_is_let_be(
    bitrix24: Bitrix24Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = crm_methods._activity
    monkeypatch.setattr(crm_methods, "_activity", lambda *given: {**real(*given), "ORIGIN_ID": "VI_another"})
    report = await probed(bitrix24, 3)
    assert not bitrix24.crm.deleted
    assert {one.fate for one in made(report, "activity of a call")} == {Fate.STAYS}


async def test_bitrix24_a_number_that_somebody_has_stops_the_probe(bitrix24: Bitrix24Portal) -> None:
    bitrix24.crm.add_client(NUMBER, 11)
    report = await probed(bitrix24)
    assert set(tried(report).values()) == {Outcome.NOT_DONE} and "--number" in result(report, 3).words
    assert not bitrix24.calls.registrations
    other = await probed(bitrix24, 3, asked={"number": "+447700900918"})
    assert tried(other) == {3: Outcome.SAME}


async def test_bitrix24_an_inner_number_that_somebody_has_is_passed_over(bitrix24: Bitrix24Portal) -> None:
    users = (*STAFF, PortalUser(30, "Nina", FREE_INNERS[0]))
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0, users=users)) as portal:
        report = await probed(portal, 8)
    assert result(report, 8).outcome is Outcome.SAME
    taken = await probed(bitrix24, 8, asked={"inner": "1001"})
    assert result(taken, 8).outcome is Outcome.DIFFERENT and "taken" in result(taken, 8).details[0]


@pytest.mark.parametrize("mode", ["reset", "503", "html", "401"])
async def test_bitrix24_trouble_is_no_difference_and_calls_are_closed(bitrix24: Bitrix24Portal, mode: str) -> None:
    bitrix24.faults.order({"mode": mode, "skip": 2, "times": 1, "methods": ["telephony.externalcall.register"]})
    report = await probed(bitrix24, 3, 8)
    assert tried(report) == {3: Outcome.NOT_DONE, 8: Outcome.SAME}, report.results
    assert bitrix24.orphans() == []


@pytest.mark.parametrize("mode", ["garbage200", "lost_answer"])
async def test_bitrix24_a_call_whose_answer_was_lost_is_told(bitrix24: Bitrix24Portal, mode: str) -> None:
    bitrix24.faults.order({"mode": mode, "skip": 2, "times": 1, "methods": ["telephony.externalcall.register"]})
    report = await probed(bitrix24, 3, 8)
    assert tried(report) == {3: Outcome.NOT_DONE, 8: Outcome.SAME}, report.results
    (orphan,) = bitrix24.orphans()
    (left,) = made(report, "registered call without an end")
    assert left.id == orphan["external_id"] and left.fate is Fate.STAYS and "look for it" in left.why


async def test_bitrix24_a_call_that_could_not_be_closed_is_told(bitrix24: Bitrix24Portal) -> None:
    bitrix24.faults.order({"mode": "500", "methods": ["telephony.externalcall.finish"]})
    report = await probed(bitrix24, 3)
    left = made(report, "registered call without an end")
    assert len(left) == len(bitrix24.orphans()) > 0 and {one.fate for one in left} == {Fate.STAYS}
    assert "30 days" in left[0].why


async def test_bitrix24_a_portal_that_is_away(bitrix24: Bitrix24Portal) -> None:
    await bitrix24.go_away()
    report = await probed(bitrix24)
    assert set(tried(report).values()) == {Outcome.NOT_DONE} and "nobody answers" in result(report, 3).words


SERVERS = ("oauth.bitrix.info", "oauth.bitrix24.tech")


class Loopback(AbstractResolver):
    """Finds every name on this machine."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)]

    async def close(self) -> None:
        return


@pytest.fixture
def servers(bitrix24: Bitrix24Portal, monkeypatch: pytest.MonkeyPatch) -> Bitrix24Portal:
    """The vendor's two servers, both played by the fake portal by the name that they are asked under."""
    port = bitrix24.port

    def endpoint_at(vendor: Bitrix24Tokens, server: str) -> URL:
        return URL(f"http://{server}:{port}/oauth/token/")

    def session() -> aiohttp.ClientSession:
        return real_session(resolver=Loopback())

    monkeypatch.setattr(Bitrix24Tokens, "endpoint_at", endpoint_at)
    monkeypatch.setattr(Bitrix24Tokens, "_endpoint", lambda vendor: URL(f"https://{SERVERS[0]}/oauth/token/"))
    monkeypatch.setattr(probe_servers, "session", session)
    return bitrix24


OAUTH = {"client_id": "local.5f0e.cel2crm", "client_secret": SecretStr("fake-client-secret")}


@pytest.mark.parametrize(
    ("settings", "issued_by", "outcome", "words"),
    [
        ({}, SERVERS[0], Outcome.SAME, SERVERS[0]),
        ({}, "", Outcome.SAME, SERVERS[0]),
        ({"authorisation_server": SERVERS[1]}, SERVERS[1], Outcome.SAME, SERVERS[1]),
        ({"other_server_knows": True}, SERVERS[0], Outcome.DIFFERENT, "both know it"),
        ({"authorisation_server": SERVERS[1]}, SERVERS[0], Outcome.DIFFERENT, f"{SERVERS[1]}, and not {SERVERS[0]}"),
    ],
)
async def test_bitrix24_which_authorisation_server(
    servers: Bitrix24Portal, settings: dict[str, Any], issued_by: str, outcome: Outcome, words: str
) -> None:
    servers.change_settings(**settings)
    before = dict(servers.tokens.refresh)
    found = result(await probed(servers, 2, asked={"token_server": issued_by}, oauth=OAUTH), 2)
    assert (found.outcome, found.words) == (outcome, words), found
    assert servers.tokens.refresh == before, "no token is used up"
    if outcome is Outcome.DIFFERENT and "not" in words:
        assert f"https://{SERVERS[1]}/oauth/token/" in found.follows


async def test_bitrix24_a_wrong_client_secret_tells_no_server(servers: Bitrix24Portal) -> None:
    wrong = {**OAUTH, "client_secret": SecretStr("another-secret")}
    found = result(await probed(servers, 2, oauth=wrong), 2)
    assert found.outcome is Outcome.NOT_DONE and "another-secret" not in f"{found}"


async def test_bitrix24_servers_that_are_away_tell_nothing(servers: Bitrix24Portal) -> None:
    servers.faults.order({"mode": "500", "methods": ["token"]})
    found = result(await probed(servers, 2, oauth=OAUTH), 2)
    assert found.outcome is Outcome.NOT_DONE and "no server could be told" in found.words


async def test_bitrix24_an_endpoint_of_the_settings_leaves_the_servers_out(bitrix24: Bitrix24Portal) -> None:
    oauth = {**OAUTH, "token_endpoint": f"{bitrix24.url}/oauth/token/"}
    found = result(await probed(bitrix24, 2, oauth=oauth), 2)
    assert found.outcome is Outcome.LEFT_OUT and not [line for line in bitrix24.log if line["operation"] == "token"]
