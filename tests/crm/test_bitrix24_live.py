"""Bitrix24 as live portals differ from kind ones: rights, lines, reasons, seconds of work, older editions."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal
from streams.clock import MICROS_PER_SECOND, boot_seconds, utc_now_us
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.failed_reason import TEXTS
from streams.crm.bitrix24.limits import LIMIT_SECONDS, OperatingLimits
from streams.crm.bitrix24.options import Bitrix24Options
from streams.crm.bitrix24.steps import line_number
from streams.crm.shared.adapter import make_client
from streams.crm.shared.client import CrmClient
from streams.delivery.answers import CallFound, NotFound, OutcomeUnknown, PortalBlocked, RetryLater, Succeeded
from streams.delivery.events import Answered, LookedUp
from streams.delivery.machine import advance
from streams.delivery.record import Delivery, Intent, State
from streams.http.request import Reply
from streams.rules import load_rules
from streams.settings import PortalSettings, RuleSettings
from tests.crm.calls import POLICY, call_result, delivered, doubtful, fresh, opened

RULES = load_rules()
STATUS = RULES.tables["bitrix24"].status
MISSED: dict[str, Any] = {"answered": False, "result": 480, "talk_seconds": None, "answered_by": None}


def settings(portal: Bitrix24Portal, **fields: Any) -> PortalSettings:
    token = SecretStr("fake-access-token")
    users = {"1001": "11"}
    return PortalSettings(
        name="main", crm="bitrix24", url=portal.url, token=token, default_user="1", users=users, **fields
    )


@pytest.fixture
async def portal() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as fake:
        yield fake


@pytest.fixture
async def client(portal: Bitrix24Portal) -> AsyncIterator[Bitrix24Client]:
    client = Bitrix24Client(settings(portal, settle_seconds=0), STATUS)
    yield client
    await client.close()


def soon() -> float:
    return boot_seconds() + 5


# What the owner of webhook or application may see.


@pytest.mark.parametrize("visible", ["own", "all"])
@pytest.mark.parametrize("fault", ["lost_answer", "late_lost", "500"])
async def test_a_finish_whose_answer_was_lost_is_there_once_whatever_right_its_owner_has(
    portal: Bitrix24Portal, client: Bitrix24Client, fault: str, visible: str
) -> None:
    portal.change_settings(statistics_of=visible)
    portal.faults.order({"mode": fault, "effect": True, "methods": ["finish"], "times": 1, "seconds": 0.1})
    delivery = await delivered(client, call_result())
    assert delivery.state is State.DELIVERED and delivery.sent_version == call_result().version
    assert len(portal.entries()) == 1 and len(portal.calls.registrations) == 1
    done_by = [line for line in delivery.history if "done by attempt" in line.explanation]
    assert bool(done_by) == (visible == "own")


async def test_a_finish_that_did_not_arrive_is_repeated_whatever_right_its_owner_has(
    portal: Bitrix24Portal, client: Bitrix24Client
) -> None:
    portal.change_settings(statistics_of="own")
    portal.faults.order({"mode": "reset", "methods": ["finish"], "times": 1})
    assert (await delivered(client, call_result())).state is State.DELIVERED
    assert len(portal.entries()) == 1 and not portal.orphans()


async def test_a_batch_whose_answer_was_lost_waits_where_the_statistics_hide_calls(
    portal: Bitrix24Portal, client: Bitrix24Client
) -> None:
    """A batch does not know its CALL_ID: repeated, it would make a second call."""
    assert (await delivered(client, call_result(2), hurried=True)).state is State.DELIVERED
    portal.change_settings(statistics_of="own")
    portal.faults.order({"mode": "lost_answer", "methods": ["batch"], "times": 1})
    doubt = doubtful(opened(client, call_result(), "register_finish"), client)
    blocked = await client.look_up(doubt, soon())
    assert isinstance(blocked, PortalBlocked) and "Call statistics" in blocked.why
    portal.change_settings(statistics_of="all")
    assert await client.look_up(doubt, soon()) == NotFound()


async def test_without_any_right_to_the_statistics_the_portal_is_told_so(
    portal: Bitrix24Portal, client: Bitrix24Client
) -> None:
    portal.change_settings(statistics_of="none")
    blocked = await client.look_up(doubtful(opened(client, call_result(), "finish"), client), soon())
    assert isinstance(blocked, PortalBlocked) and "may not view the calls of all" in blocked.why


@pytest.mark.parametrize("known", [True, False])
async def test_an_answer_of_other_calls_is_not_taken_for_no_call(
    portal: Bitrix24Portal, client: Bitrix24Client, known: bool
) -> None:
    for number in (1, 2, 3):
        before = await delivered(client, call_result(number))
    portal.change_settings(knows_external_id=False)
    ids = {"CALL_ID": before.crm_ids["CALL_ID"]} if known else {}
    looked_up = await client.look_up(doubtful(opened(client, call_result(3), "finish", crm_ids=ids), client), soon())
    assert isinstance(looked_up, CallFound)  # among the first 50, by any of its ids
    missing = doubtful(opened(client, call_result(9), "finish", crm_ids={"CALL_ID": "none"} if known else {}), client)
    looked_up = await client.look_up(missing, soon())
    assert isinstance(looked_up, NotFound) if known else isinstance(looked_up, RetryLater)


def test_an_older_attempts_version_is_the_one_that_the_crm_shows(client: Bitrix24Client) -> None:
    """The first finish, of unknown outcome, was of another version than the one that found its call over."""
    began: dict[str, Any] = {"crm_ids": {"CALL_ID": "x"}, "steps_done": ("register",), "queued_at": 10**15}
    first = opened(client, call_result(), "finish", **began)
    delivery = advance(first, Answered(1, first.attempt, OutcomeUnknown("lost"), 0.5), client.plan, POLICY).delivery
    for now in (10**14, 10**14 + POLICY.settle_us):
        delivery = advance(delivery, LookedUp(now, delivery.attempt, NotFound()), client.plan, POLICY).delivery
    assert delivery.state is State.WAITING and delivery.intent is None
    delivery = replace(delivery, version=delivery.version + 1, outcome_hash="later")
    assert first.intent is not None
    intent = replace(first.intent, attempt=2, version=delivery.version, outcome_hash="later", sent="{}")
    delivery = replace(delivery, state=State.LOOKED_UP, attempt=2, doubt=intent, gone=True)
    for now in (2 * 10**14, 2 * 10**14 + POLICY.settle_us):
        hidden = LookedUp(now, 2, NotFound(reliable=False))
        delivery = advance(delivery, hidden, client.plan, POLICY).delivery
    assert (delivery.state, delivery.sent_version) == (State.SUPERSEDED, first.version)
    assert delivery.sent == first.intent.sent


# The line, the source, the reason.


def test_the_line_is_the_did_or_what_the_settings_put_in_its_place() -> None:
    options = Bitrix24Options.of({"line_of": {"4951001001": "74951001001", "mts": "74951001002"}})
    calls: list[tuple[dict[str, Any], str]] = [
        ({"did": "74951001001"}, "74951001001"),
        ({"did": "4951001001", "trunk": "mts"}, "74951001001"),
        ({"direction": "outgoing", "trunk": "mts"}, "74951001002"),
        ({"direction": "outgoing", "trunk": "other"}, ""),
        ({"did": "9" * 51}, ""),
    ]
    for fields, line in calls:
        assert line_number(_blank(), call_result(**fields), options) == line


def _blank(**fields: Any) -> Delivery:
    return Delivery(call_id="pbx1/1.1", crm="bitrix24", portal="main", state=State.NEW, **fields)


@pytest.mark.parametrize("batch", ["never", "always"])
async def test_every_register_of_a_call_names_the_same_line(portal: Bitrix24Portal, batch: str) -> None:
    """Another line would be another registration: the second one would become a second call."""
    client = Bitrix24Client(settings(portal), STATUS)
    now = utc_now_us()
    first = call_result(did="74951001001", started_at=now)
    step = "register_finish" if batch == "always" else "register"
    delivery = opened(client, first, step)
    delivery = doubtful(delivery, client)
    later = call_result(did="74951009999", started_at=now, version=first.version + 1)
    request = client.request(replace(delivery, step=step, version=later.version), later)
    sent = orjson.loads(request.sent)
    assert sent.get("register", sent)["LINE_NUMBER"] == "74951001001"
    before = await client.send(opened(client, first), soon())
    again = Intent(attempt=2, step="register", version=2, outcome_hash="", started_at=1, deadline=2, sent="")
    again = replace(again, sent=orjson.dumps(sent.get("register", sent)).decode())
    assert await client.send(replace(delivery, intent=again), soon()) == before
    await client.close()


async def test_a_register_of_an_older_version_of_the_product_stays_without_a_line(client: Bitrix24Client) -> None:
    delivery = doubtful(opened(client, call_result(did=None)), client)
    sent = orjson.loads(client.request(delivery, call_result(did="74951001001")).sent)
    assert "LINE_NUMBER" not in sent


async def test_line_and_source_reach_the_portal_and_the_line_has_its_name(portal: Bitrix24Portal) -> None:
    options = {"crm_source": "CALL", "lines": {"74951001001": "Sales"}}
    client = Bitrix24Client(settings(portal, options=options, unknown_number="create_lead"), STATUS)
    for number in (1, 2):
        assert (await delivered(client, call_result(number, did="74951001001"))).state is State.DELIVERED
    await client.close()
    assert [entry.line for entry in portal.entries()] == ["74951001001"] * 2
    assert portal.crm.clients[0]["source"] == "CALL"
    named = {"NUMBER": "74951001001", "NAME": "Sales", "CRM_AUTO_CREATE": "Y"}
    assert list(portal.lines.lines.values()) == [named]
    operations = [str(line["operation"]) for line in portal.log if "externalline" in str(line["operation"])]
    assert operations == ["telephony.externalline.get", "telephony.externalline.add"]


@pytest.mark.parametrize("mode", ["400", "403", "reset", "html"])
@pytest.mark.parametrize("method", ["externalline.get", "externalline.add"])
async def test_a_line_that_cannot_be_named_keeps_no_call(portal: Bitrix24Portal, method: str, mode: str) -> None:
    portal.faults.order({"mode": mode, "methods": [method]})
    client = Bitrix24Client(settings(portal, options={"lines": {"74951001001": "Sales"}}), STATUS)
    for number in (1, 2):
        assert (await delivered(client, call_result(number, did="74951001001"))).state is State.DELIVERED
    await client.close()
    assert len(portal.entries()) == 2
    assert sum("externalline" in str(line["operation"]) for line in portal.log) <= 2


async def test_a_renamed_line_is_updated(portal: Bitrix24Portal) -> None:
    portal.lines.call("add", {"NUMBER": "74951001001", "NAME": "Old"})
    client = Bitrix24Client(settings(portal, options={"lines": {"74951001001": "New"}}), STATUS)
    await delivered(client, call_result(did="74951001001"))
    await client.close()
    assert portal.lines.lines["74951001001"]["NAME"] == "New"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"line": "1"}, "unknown: line"),
        ({"crm_source": 7}, "crm_source must be a text"),
        ({"lines": {74951001001: "Sales"}}, "quotes"),
        ({"lines": ["74951001001"]}, "must be a mapping"),
        ({"line_of": {"mts": "9" * 51}}, "at most 50"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PortalSettings(name="main", crm="bitrix24", options=options)


@pytest.mark.parametrize(("language", "words"), [("en", "Subscriber did not answer"), ("ru", "Абонент не ответил")])
@pytest.mark.parametrize("batch", ["never", "always"])
async def test_a_failed_call_says_why_in_the_operators_language(
    portal: Bitrix24Portal, language: str, words: str, batch: str
) -> None:
    client: CrmClient = make_client(settings(portal), load_rules(RuleSettings(language=language)))
    calls = [call_result(1, **MISSED), call_result(2)]
    for call in calls:
        assert (await delivered(client, call, hurried=batch == "always")).state is State.DELIVERED
    await client.close()
    assert [entry.text for entry in portal.entries()] == [words, None]


def test_every_reason_is_a_text_in_every_language() -> None:
    for language in ("en", "ru", "de"):
        assert set(TEXTS.values()) | {"missed_call"} <= set(load_rules(RuleSettings(language=language)).texts)


# Seconds of work.


async def test_a_method_that_is_blocked_is_asked_no_more_before_its_time(
    portal: Bitrix24Portal, client: Bitrix24Client
) -> None:
    portal.change_settings(operating_cost=240.0)
    answers = [await client.send(opened(client, call_result(number)), soon()) for number in (1, 2, 3, 4)]
    assert [type(answer) for answer in answers] == [Succeeded, Succeeded, RetryLater, RetryLater]
    asked = sum(line["operation"] == "telephony.externalcall.register" for line in portal.log)
    assert asked == 3  # the refusal says nothing of time: it stood in the answer before
    for answer in answers[2:]:
        assert isinstance(answer, RetryLater) and answer.not_before is not None and not answer.whole_portal
        assert 550 < (answer.not_before - utc_now_us()) / MICROS_PER_SECOND < 610
    # The other methods go on.
    registered = answers[0]
    assert isinstance(registered, Succeeded)
    finish = opened(client, call_result(), "finish", crm_ids=dict(registered.ids))
    assert isinstance(await client.send(finish, soon()), Succeeded)
    assert isinstance(await client.look_up(doubtful(finish, client), soon()), CallFound)


async def test_near_the_limit_a_method_is_asked_no_faster_than_its_work_is_forgotten() -> None:
    limits, now = OperatingLimits(), utc_now_us()
    for used in (0.79 * LIMIT_SECONDS, 0.79 * LIMIT_SECONDS + 8):
        limits.note(("finish",), Reply(200, {}, {"result": {}, "time": {"operating": used}}), now)
    until = boot_seconds() + 5
    assert await limits.pace(("finish",), until) and await limits.pace(("register",), until)
    assert not await limits.pace(("finish",), until)  # 8 s of work: one in 10 s


async def test_a_batch_counts_for_both_methods(portal: Bitrix24Portal, client: Bitrix24Client) -> None:
    portal.change_settings(operating_cost=240.0)
    for number in (1, 2):
        assert isinstance(await client.send(opened(client, call_result(number), "register_finish"), soon()), Succeeded)
    blocked = await client.send(opened(client, call_result(3), "register_finish"), soon())
    assert isinstance(blocked, RetryLater) and blocked.not_before is not None


def test_the_fresh_delivery_has_no_line_of_its_own() -> None:
    assert line_number(_blank(), call_result(did=None), Bitrix24Options()) == ""


async def test_a_register_repeated_in_time_runs_the_portals_automations_once(
    portal: Bitrix24Portal, client: Bitrix24Client
) -> None:
    portal.faults.order({"mode": "lost_answer", "methods": ["register"], "times": 1})
    recent = call_result(started_at=utc_now_us())
    assert (await delivered(client, recent, delivery=fresh(client, recent, utc_now_us()))).state is State.DELIVERED
    assert portal.calls.automations() == [recent.client]
