"""The questions to a Bitrix24 portal that leave no trace: what they find out, and what they say."""

from typing import Any

import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal
from streams.clock import boot_seconds
from streams.crm.bitrix24.checks import check_portal
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.shared.findings import Finding
from streams.rules import load_rules
from streams.settings import PortalSettings
from tests.crm.calls import call_result, delivered

STATUS = load_rules().tables["bitrix24"].status


async def found(
    settings: dict[str, Any] | None = None, *, calls: int = 2, webhook: bool = False, **portal: Any
) -> dict[str, Finding]:
    """The findings about a portal that has some calls, by what was checked."""
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as fake:
        access: dict[str, Any] = {"url": fake.url, "token": SecretStr("fake-access-token")}
        usual: dict[str, Any] = {"name": "main", "crm": "bitrix24", "default_user": "1", "users": {"1001": "11"}}
        first = Bitrix24Client(PortalSettings(**usual, **access), STATUS)
        for number in range(calls):
            await delivered(first, call_result(number, extension="1001" if number else "9", answered_by=None))
        await first.close()
        before = (len(fake.entries()), len(fake.calls.registrations))
        fake.change_settings(**{name: value for name, value in portal.items() if name != "fault"})
        if "fault" in portal:
            fake.faults.order(portal["fault"])
        if webhook:
            access = {"webhook_url": SecretStr(fake.webhook_url)}
        client = Bitrix24Client(PortalSettings(**{**usual, **access, **(settings or {})}), STATUS)
        try:
            settled = PortalSettings(**{**usual, **access, **(settings or {})})
            findings = await check_portal(
                settled, lambda method, fields: client.ask(method, fields, boot_seconds() + 10)
            )
        finally:
            await client.close()
        assert (len(fake.entries()), len(fake.calls.registrations)) == before
        return {finding.what: finding for finding in findings}


async def test_nothing_is_wrong_with_a_portal_that_is_set_up_as_documented() -> None:
    findings = await found()
    assert list(findings) == ["telephony", "scopes", "statistics", "users", "limits"]
    assert {finding.level for finding in findings.values()} == {"good"}
    assert not any(finding.remedy for finding in findings.values())


@pytest.mark.parametrize(("allowed", "level"), [(False, "bad"), (True, "good")])
async def test_a_webhook_is_told_whether_it_may_register_calls(allowed: bool, level: str) -> None:
    findings = await found(webhook=True, webhook_allowed=allowed)
    assert findings["telephony"].level == level and findings["statistics"].level == "good"
    assert allowed or "local application" in findings["telephony"].remedy


@pytest.mark.parametrize(
    ("portal", "calls", "level", "words"),
    [
        ({"statistics_of": "own"}, 2, "warning", "only the owner's own"),
        ({"statistics_of": "none"}, 2, "bad", "may not view call statistics at all"),
        ({}, 0, "warning", "no calls are shown"),
    ],
)
async def test_the_right_to_see_all_calls_is_tried(portal: dict[str, Any], calls: int, level: str, words: str) -> None:
    finding = (await found(calls=calls, **portal))["statistics"]
    assert finding.level == level and words in finding.words and "Call statistics: view: all" in finding.remedy


async def test_scopes_are_those_that_the_settings_need() -> None:
    assert (await found(scopes=("telephony", "user")))["scopes"].level == "good"
    finding = (await found({"on_revision": "note"}, scopes=("telephony", "user")))["scopes"]
    assert finding.level == "bad" and "crm" in finding.words
    assert (await found(scopes=("telephony",)))["users"].level == "unknown"


async def test_people_who_left_are_named() -> None:
    finding = (await found({"users": {"1001": "11", "1999": "19", "7": "700"}}))["users"]
    assert finding.level == "bad" and "19, 700" in finding.words


@pytest.mark.parametrize(
    ("fault", "level", "words"),
    [
        ({"mode": "authorization_error"}, "bad", "dismissed or locked"),
        ({"mode": "payment_required"}, "bad", "licence"),
        ({"mode": "html"}, "unknown", "HTTP 502"),
        ({"mode": "reset"}, "unknown", "could not be asked"),
    ],
)
async def test_after_a_refusal_of_the_authorisation_nothing_more_is_asked(
    fault: dict[str, Any], level: str, words: str
) -> None:
    findings = await found(fault=fault)
    assert list(findings) == ["telephony"]
    assert findings["telephony"].level == level and words in findings["telephony"].words


async def test_work_that_is_nearly_used_up_is_told() -> None:
    finding = (await found(operating_cost=470.0))["limits"]
    assert finding.level == "warning" and "of 480 seconds" in finding.words
