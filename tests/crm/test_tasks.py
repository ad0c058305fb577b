"""Tasks for missed calls at the CRMs: made once a client, closed by a later talk, and what may go wrong between."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from msgspec.structs import replace
from pydantic import SecretStr, ValidationError

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, boot_seconds, utc_now_us
from streams.crm.shared import tasks
from streams.crm.shared.adapter import make_client
from streams.crm.shared.client import CrmClient
from streams.crm.shared.shadow import shadowed
from streams.crm.shared.tasks import CHECK, CLOSE, FIND, MISSED, TASK, WAIT, marker_in, marker_of, task_words
from streams.delivery.answers import NotYet, PortalBlocked, RetryLater
from streams.delivery.events import Answered, Arrived, CommandReceived, Due, LookedUp, LookUp, Prepared, Send
from streams.delivery.follow_ups import due_at_portal, due_to_prepare, follow_up_of, follow_up_view
from streams.delivery.machine import advance
from streams.delivery.record import Action, Delivery, FollowUp, OperatorCommand, State
from streams.rules import load_rules
from streams.settings import PortalSettings
from streams.settings.portals import MissedCallTaskSettings
from streams.settings.working_hours import ScheduleSettings
from tests.crm.calls import POLICY, arrived, call_result, delivered, fresh

RULES = load_rules()
CLIENT = "+79161234567"
MINUTE = 60 * MICROS_PER_SECOND
NOW = utc_now_us() - 2 * 60 * MINUTE
"""When the first call of each test begins."""


class Crm:
    """A fake portal, our client for it, and the settings."""

    def __init__(self, portal: Portal, **fields: Any) -> None:
        self.portal = portal
        token = "fake-long-lived-token" if isinstance(portal, KommoPortal) else "fake-access-token"
        known: dict[str, Any] = {
            "url": portal.url, "token": SecretStr(token), "default_user": "1", "users": {"1001": "11"},
            "missed_call_task": {}, "settle_seconds": 0.0,
        }  # fmt: skip
        self.settings = PortalSettings(name="main", crm=portal.name, **{**known, **fields})
        self.client: CrmClient = make_client(self.settings, RULES)

    def tasks(self) -> list[dict[str, Any]]:
        return self.portal.tasks()

    def open_tasks(self) -> list[int]:
        return [task["id"] for task in self.tasks() if task["is_open"]]

    @property
    def store(self) -> Any:
        """Where the fake keeps its tasks."""
        if isinstance(self.portal, Bitrix24Portal):
            return self.portal.activities
        assert isinstance(self.portal, KommoPortal)
        return self.portal.account.tasks

    def person_completes(self, number: int) -> None:
        self.store.complete(number)

    def person_deletes(self, number: int) -> None:
        self.store.delete(number)


@pytest.fixture(params=["bitrix24", "kommo"])
async def portal(request: pytest.FixtureRequest) -> AsyncIterator[Portal]:
    if request.param == "bitrix24":
        async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as bitrix24:
            bitrix24.crm.add_client(CLIENT, responsible=14)
            yield bitrix24
    else:
        async with KommoPortal(KommoConfig(requests_per_second=0, known_clients=True)) as kommo:
            yield kommo


@pytest.fixture
async def crm(portal: Portal) -> AsyncIterator[Crm]:
    made = Crm(portal)
    yield made
    await made.client.close()


ONLY_BITRIX24 = pytest.mark.parametrize("portal", ["bitrix24"], indirect=True)
ONLY_KOMMO = pytest.mark.parametrize("portal", ["kommo"], indirect=True)


def call(number: int, minute: int, **fields: Any) -> CallResult:
    """A missed call that begins so many minutes after NOW and lasts one."""
    started = NOW + minute * MINUTE
    missed: dict[str, Any] = {
        "answered": False, "result": 480, "answered_by": None, "talk_seconds": None, "client": CLIENT, "caller": CLIENT,
        "started_at": started, "ended_at": started + MINUTE,
    }  # fmt: skip
    return call_result(number, **{**missed, **fields})


def talk(number: int, minute: int, **fields: Any) -> CallResult:
    """A call in which the client was reached."""
    return call(
        number, minute, **{"answered": True, "result": 200, "answered_by": "1001", "talk_seconds": 50.0, **fields}
    )


def with_follow_ups(crm: Crm, result: CallResult) -> Arrived:
    asked = tasks.follow_ups(result, crm.settings, utc_now_us())
    version = arrived(result, utc_now_us())
    return Arrived(**{name: getattr(version, name) for name in version.__slots__} | {"follow_ups": asked})


async def followed(crm: Crm, result: CallResult, delivery: Delivery | None = None, until: str = "") -> Delivery:
    """A call delivered, and what follows it taken to its end, to the step `until`, or until it waits for somebody."""
    if delivery is None:
        asked = tasks.follow_ups(result, crm.settings, utc_now_us())
        delivery = replace(
            fresh(crm.client, result, utc_now_us()), follow_ups=tuple(FollowUp(kind=kind) for kind in asked)
        )
        delivery = await delivered(crm.client, result, delivery=delivery)
    plan, now = crm.client.plan, utc_now_us()
    for _ in range(40):
        local = due_to_prepare(delivery, plan)
        if local is not None:
            now = max(now, local[0])
            view = follow_up_view(delivery, local[1], plan)
            if view.step == until:
                return delivery
            delivery = advance(delivery, Prepared(now, local[1], tasks.awaited(view, 0, now)), plan, POLICY).delivery
            continue
        due = due_at_portal(delivery, plan)
        if due is None:
            return delivery
        now, kind = max(now, due[0]), due[1]
        view = follow_up_view(delivery, kind, plan)
        if view.step == until or (view.reason or "").startswith("waits for a change"):
            return delivery
        request = crm.client.request(view, result)
        event = Due(now, request.sent, request.status, request.text, request.step, request.no_user, kind)
        outcome = advance(delivery, event, plan, POLICY)
        delivery = outcome.delivery
        asked_view = follow_up_view(delivery, kind, plan)
        for effect in outcome.effects:
            if isinstance(effect, Send):
                answer = await crm.client.send(asked_view, boot_seconds() + 5)
                assert not isinstance(answer, PortalBlocked), "no task pauses a portal"
                delivery = advance(delivery, Answered(now, effect.attempt, answer, 0.5, kind), plan, POLICY).delivery
            elif isinstance(effect, LookUp):
                seen = await crm.client.look_up(asked_view, boot_seconds() + 5)
                delivery = advance(delivery, LookedUp(now, effect.attempt, seen, 0.5, kind), plan, POLICY).delivery
    raise AssertionError(f"no end: {delivery}")


def follow_up(delivery: Delivery, kind: str = MISSED) -> FollowUp:
    found = follow_up_of(delivery, kind)
    assert found is not None
    return found


# Which calls.


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (call(1, 0), MISSED),
        (call(1, 0, result=404), MISSED),
        (call(1, 0, result=200), MISSED),
        (call(1, 0, result=0), MISSED),
        (call(1, 0, direction="internal"), None),
        (call(1, 0, direction="outgoing"), None),
        (call(1, 0, direction="unknown"), None),
        (call(1, 0, client=None), None),
        (call(1, 0, abandoned=True), None),
        (call(1, -60 * 24), None),
        (talk(1, 0), CLOSE),
        (talk(1, 0, direction="outgoing"), CLOSE),
        (talk(1, 0, direction="internal"), None),
        (talk(1, 0, client=None), None),
        (talk(1, -60 * 72), CLOSE),
        (talk(1, -60 * 97), None),
    ],
)
def test_which_calls_ask_for_what(result: CallResult, kind: str | None) -> None:
    portal = PortalSettings(name="main", crm="kommo", missed_call_task={})  # type: ignore[arg-type]
    assert set(tasks.follow_ups(result, portal, utc_now_us())) == ({kind} if kind else set())
    without = PortalSettings(name="main", crm="kommo")
    assert tasks.follow_ups(result, without, utc_now_us()) == {}, "off by default"


# In the CRM.


async def test_a_missed_call_leaves_one_task_and_a_talk_closes_it(crm: Crm) -> None:
    missed = await followed(crm, call(1, 0))
    (task,) = crm.tasks()
    assert task["is_open"] and task["user_id"] == 11, "whom the missed call was given to"
    assert CLIENT in task["text"] and marker_in(task["text"]) == marker_of(call(1, 0))
    assert follow_up(missed).state is State.DELIVERED and follow_up(missed).ids[TASK] == str(task["id"])
    assert missed.over and missed.state is State.DELIVERED and missed.result is None
    closed = await followed(crm, talk(2, 10))
    assert crm.open_tasks() == [] and follow_up(closed, CLOSE).state is State.DELIVERED
    assert str(task["id"]) in follow_up(closed, CLOSE).history[-1].explanation
    assert len(crm.portal.entries()) == 2, "a task is no call"


async def test_an_outgoing_talk_closes_too(crm: Crm) -> None:
    await followed(crm, call(1, 0))
    await followed(crm, talk(2, 10, direction="outgoing", caller="1001", called=CLIENT))
    assert crm.open_tasks() == []


async def test_sequential_missed_calls_leave_one_open_task(crm: Crm) -> None:
    for number in range(1, 5):
        last = await followed(crm, call(number, number))
    (task,) = crm.tasks()
    assert follow_up(last).state is State.SKIPPED and f"task {task['id']} stands already" in str(follow_up(last).reason)


async def test_another_clients_task_is_another_one(crm: Crm) -> None:
    other = "+79169999999"
    if isinstance(crm.portal, Bitrix24Portal):
        crm.portal.crm.add_client(other, responsible=14)
    await followed(crm, call(1, 0))
    await followed(crm, call(2, 1, client=other, caller=other))
    await followed(crm, talk(3, 2, client=other, caller=other))
    assert [task["is_open"] for task in crm.tasks()] == [True, False]


async def test_two_missed_at_the_same_moment_leave_one_after_the_second_look(crm: Crm) -> None:
    first = await followed(crm, call(1, 0), until=MISSED)
    second = await followed(crm, call(2, 0), until=MISSED)
    first, second = await followed(crm, call(1, 0), first, WAIT), await followed(crm, call(2, 0), second, WAIT)
    assert len(crm.open_tasks()) == 2, "two for a moment"
    older = min(crm.open_tasks())
    await followed(crm, call(2, 0), second)
    await followed(crm, call(1, 0), first)
    assert crm.open_tasks() == [older]


async def test_two_that_stand_are_both_closed(crm: Crm) -> None:
    first = await followed(crm, call(1, 0), until=MISSED)
    second = await followed(crm, call(2, 0), until=MISSED)
    await followed(crm, call(1, 0), first, WAIT)
    await followed(crm, call(2, 0), second, WAIT)
    await followed(crm, talk(3, 5))
    assert len(crm.tasks()) == 2 and crm.open_tasks() == []


async def test_no_task_where_the_talk_was_delivered_before_the_missed_call(crm: Crm) -> None:
    await followed(crm, talk(2, 10))
    late = await followed(crm, call(1, 0))
    assert crm.tasks() == [] and "reached after" in str(follow_up(late).reason)


async def test_a_talk_of_before_neither_keeps_a_task_away_nor_closes_it(crm: Crm) -> None:
    await followed(crm, talk(1, 0))
    await followed(crm, call(2, 10))
    await followed(crm, talk(3, 5))
    assert len(crm.open_tasks()) == 1


async def test_a_talk_that_comes_while_the_task_is_made_closes_it(crm: Crm) -> None:
    """The talk was delivered after the first look, and looked for tasks before this one could be seen."""
    missed = await followed(crm, call(1, 0), until=MISSED)
    await followed(crm, talk(2, 10))
    await followed(crm, call(1, 0), missed)
    (task,) = crm.tasks()
    assert not task["is_open"]


async def test_a_standing_task_speaks_of_a_later_missed_call_too(crm: Crm) -> None:
    """A talk from between the two calls, delivered after both, must not leave the second one without a task."""
    await followed(crm, call(1, 0))
    await followed(crm, call(3, 20))
    await followed(crm, talk(2, 10))
    assert len(crm.open_tasks()) == 1
    await followed(crm, talk(4, 30))
    assert crm.open_tasks() == []


async def test_a_task_that_is_visible_late_is_made_once(crm: Crm) -> None:
    """Its answer is lost, and lists lag: looked up until it is there."""
    operation = {"bitrix24": "todo.add", "kommo": "add_tasks"}[crm.portal.name]
    crm.portal.faults.order({"mode": "lost_answer", "methods": [operation], "times": 1})
    missed = await followed(crm, call(1, 0))
    (task,) = crm.tasks()
    assert task["is_open"] and [line.outcome for line in follow_up(missed).history if line.step == MISSED] == [
        "unsure",
        "found",
    ]


async def test_a_request_that_a_proxy_repeats_leaves_one_open_task(crm: Crm) -> None:
    operation = {"bitrix24": "todo.add", "kommo": "add_tasks"}[crm.portal.name]
    crm.portal.faults.order({"mode": "duplicate", "methods": [operation], "times": 1})
    await followed(crm, call(1, 0))
    assert len(crm.tasks()) == 2 and len(crm.open_tasks()) == 1


async def test_a_task_that_a_person_closed_or_deleted_is_left_alone(crm: Crm) -> None:
    missed = await followed(crm, call(1, 0))
    crm.person_completes(crm.open_tasks()[0])
    again = CommandReceived(
        utc_now_us(), OperatorCommand("o1", Action.DELIVER, "ann", 5), with_follow_ups(crm, call(1, 0))
    )
    ordered = advance(missed, again, crm.client.plan, POLICY).delivery
    assert follow_up(ordered).state is State.DELIVERED, "an order makes no second one"
    await followed(crm, call(2, 10))
    assert len(crm.tasks()) == 2 and len(crm.open_tasks()) == 1, "another missed call is another matter"
    crm.person_deletes(crm.open_tasks()[0])
    done = await followed(crm, talk(3, 20))
    assert "no task of ours is open" in follow_up(done, CLOSE).history[-1].explanation


async def test_an_order_for_a_call_whose_task_was_made_makes_no_second_one(crm: Crm) -> None:
    """What followed it is forgotten, as after the call was found to be missing in the CRM."""
    await followed(crm, call(1, 0))
    crm.person_completes(crm.open_tasks()[0])
    again = await followed(crm, call(1, 0))
    assert len(crm.tasks()) == 1 and "was made before" in str(follow_up(again).reason)


async def test_a_later_version_that_was_answered_takes_the_task_back(crm: Crm) -> None:
    missed = await followed(crm, call(1, 0), until=CHECK)
    assert len(crm.open_tasks()) == 1
    newer = talk(1, 0, version=missed.version + 1)
    revised = advance(missed, with_follow_ups(crm, newer), crm.client.plan, POLICY).delivery
    assert {each.kind for each in revised.follow_ups} == {MISSED, CLOSE}
    done = await followed(crm, newer, revised)
    assert crm.open_tasks() == [] and done.over


@pytest.mark.parametrize("until", [FIND, MISSED])
async def test_a_later_version_that_was_answered_keeps_a_task_from_being_made(crm: Crm, until: str) -> None:
    missed = await followed(crm, call(1, 0), until=until)
    newer = talk(1, 0, version=missed.version + 1)
    revised = advance(missed, with_follow_ups(crm, newer), crm.client.plan, POLICY).delivery
    await followed(crm, newer, revised)
    assert crm.tasks() == []


async def test_a_missed_call_that_grew_old_gets_no_task(crm: Crm) -> None:
    missed = await followed(crm, call(1, 0), until=MISSED)
    crm.settings = crm.settings.model_copy(update={"missed_call_task": MissedCallTaskSettings(max_age_hours=1.5)})
    await crm.client.close()
    crm.client = make_client(crm.settings, RULES)
    late = await followed(crm, call(1, 0), missed)
    assert crm.tasks() == [] and "older than portals[].missed_call_task.max_age_hours (1.5 h)" in str(
        follow_up(late).reason
    )


async def test_a_setting_that_went_makes_no_more_tasks_but_closes_them(crm: Crm) -> None:
    await followed(crm, call(1, 0))
    second, closing = await followed(crm, call(2, 1), until=FIND), await followed(crm, talk(3, 5), until=CLOSE)
    crm.settings = crm.settings.model_copy(update={"missed_call_task": None})
    await crm.client.close()
    crm.client = make_client(crm.settings, RULES)
    gone = await followed(crm, call(2, 1), second)
    assert "is not set" in str(follow_up(gone).reason)
    await followed(crm, talk(3, 5), closing)
    assert crm.open_tasks() == []


# Whose, where, and with which words.


async def test_the_settings_name_whose_the_tasks_are(portal: Portal) -> None:
    crm = Crm(
        portal, missed_call_task={"user": "13", "due_minutes": 30, "text": "{client} {did} {extension} {date} {time}"}
    )
    await followed(crm, call(1, 0, did="74950000000"))
    (task,) = crm.tasks()
    assert task["user_id"] == 13
    words = re.split("[\n]", task["text"])[0].split()
    assert words[:3] == [CLIENT, "74950000000", "1001"] and re.fullmatch(r"\d\d:\d\d", words[4])
    await crm.client.close()


@pytest.mark.parametrize("user", ["19", "4711"])
async def test_a_user_whom_the_crm_does_not_know_gives_his_tasks_to_whom_the_call_is_given(
    portal: Portal, user: str
) -> None:
    crm = Crm(portal, missed_call_task={"user": user})
    missed = await followed(crm, call(1, 0))
    (task,) = crm.tasks()
    assert task["user_id"] == 11 and f"user:{user}" in missed.unmatched
    await crm.client.close()


async def test_where_nobody_is_known_the_task_is_of_the_owner(portal: Portal) -> None:
    crm = Crm(portal, missed_call_task={"user": "4711"})
    missed = await followed(crm, call(1, 0), until=FIND)
    known = tuple(f"user:{user}" for user in ("1", "11", "4711"))
    await followed(crm, call(1, 0), replace(missed, unmatched=known))
    assert len(crm.open_tasks()) == 1
    await crm.client.close()


@ONLY_BITRIX24
async def test_bitrix24_keeps_no_task_where_it_knows_no_client(crm: Crm) -> None:
    stranger = "+79160000001"
    missed = await followed(crm, call(1, 0, client=stranger, caller=stranger))
    assert missed.state is State.DELIVERED and crm.tasks() == []
    assert follow_up(missed).state is State.SKIPPED and "unknown_number: create_lead" in str(follow_up(missed).reason)


@ONLY_BITRIX24
async def test_bitrix24_puts_the_task_at_the_lead_that_the_call_made(portal: Portal) -> None:
    crm = Crm(portal, unknown_number="create_lead")
    stranger = "+79160000001"
    await followed(crm, call(1, 0, client=stranger, caller=stranger))
    (task,) = crm.tasks()
    assert task["entity"].startswith("lead ")
    await crm.client.close()


@ONLY_BITRIX24
async def test_bitrix24_finds_a_task_wherever_it_stands(crm: Crm) -> None:
    """The client has another card by now."""
    assert isinstance(crm.portal, Bitrix24Portal)
    await followed(crm, call(1, 0))
    crm.portal.crm.clients.clear()
    crm.portal.crm.add_client(CLIENT, responsible=14, kind="COMPANY")
    await followed(crm, talk(2, 10))
    assert crm.open_tasks() == []


@ONLY_KOMMO
async def test_kommo_finds_a_task_at_another_card_of_the_client(crm: Crm) -> None:
    assert isinstance(crm.portal, KommoPortal)
    await followed(crm, call(1, 0))
    crm.portal.account.add_client("company", "Works", [CLIENT], crm.portal.now())
    closed = await followed(crm, talk(2, 10))
    assert closed.crm_ids["entity_type"] == "company" and crm.open_tasks() == []


@ONLY_KOMMO
async def test_kommo_makes_no_task_for_an_incoming_lead(portal: Portal) -> None:
    portal.change_settings(known_clients=False)
    crm = Crm(portal, unknown_number="unsorted")
    missed = await followed(crm, call(1, 0))
    assert crm.tasks() == [] and "incoming lead" in str(follow_up(missed).reason)
    await crm.client.close()


def test_what_a_caller_chose_brings_no_markup() -> None:
    hostile = call(
        1, 0, client="[url=http://evil.example]+7916[/url]<b>\n{time}", did="<script>", rang_last="@10.0.0.1"
    )
    words = task_words(hostile, MissedCallTaskSettings(text="{client}|{did}|{extension}"))
    assert words == "urlhttpevilexample+7916urlbtime|script|10001"
    assert len(task_words(call(1, 0, client="1" * 500), MissedCallTaskSettings())) < 120
    assert marker_in(marker_of(hostile).text) == marker_of(hostile)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "{caller}"}, "none of the fields"),
        ({"text": "{client!r}"}, "none of the fields"),
        ({"text": "two\nlines"}, "one line"),
        ({"text": "x" * 121}, "at most 120"),
        ({"due_minutes": 0}, "greater than 0"),
        ({"usr": "1"}, "not permitted"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PortalSettings(name="main", crm="kommo", missed_call_task=fields)  # type: ignore[arg-type]


def test_a_crm_without_tasks_refuses_the_setting() -> None:
    with pytest.raises(ValidationError, match="keeps no tasks"):
        PortalSettings(name="main", crm="webhook", missed_call_task={})  # type: ignore[arg-type]


# Rights that only tasks need.


RIGHTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bitrix24": ({"scopes": ("telephony",)}, {"scopes": ("telephony", "crm")}),
    "kommo": ({"task_rights": False}, {"task_rights": True}),
}


async def test_missing_rights_keep_the_task_waiting_and_no_call(crm: Crm) -> None:
    lacking, given = RIGHTS[crm.portal.name]
    crm.portal.change_settings(**lacking)
    waiting = await followed(crm, call(1, 0))
    assert waiting.state is State.DELIVERED and crm.tasks() == []
    assert follow_up(waiting).state is State.WAITING and "missed_call_task needs" in str(follow_up(waiting).reason)
    crm.portal.change_settings(**given)
    due = due_at_portal(waiting, crm.client.plan)
    assert due is not None and due[0] - utc_now_us() > 5 * MINUTE, "slowly"
    ready = replace(waiting, follow_ups=(replace(follow_up(waiting), wait_until=0, reason=None),))
    await followed(crm, call(1, 0), ready)
    assert len(crm.open_tasks()) == 1


@pytest.mark.parametrize("step", [FIND, MISSED, CHECK])
async def test_no_answer_about_rights_pauses_a_portal(crm: Crm, step: str) -> None:
    missed = await followed(crm, call(1, 0), until=step)
    for mode in ("403", "access_denied", "insufficient_scope"):
        crm.portal.faults.clear()
        crm.portal.faults.order({"mode": mode, "methods": ["todo.add", "activity.list", "tasks", "add_tasks"]})
        view = follow_up_view(missed, MISSED, crm.client.plan)
        request = crm.client.request(view, call(1, 0))
        due = Due(utc_now_us(), request.sent, step=request.step, follow_up=MISSED)
        opened = advance(missed, due, crm.client.plan, POLICY).delivery
        answer = await crm.client.send(follow_up_view(opened, MISSED, crm.client.plan), boot_seconds() + 5)
        assert isinstance(answer, NotYet), (mode, answer)


@ONLY_BITRIX24
async def test_a_portal_that_ignores_the_filter_proves_nothing(crm: Crm) -> None:
    assert isinstance(crm.portal, Bitrix24Portal)
    for number in range(300):
        crm.portal.activities.record("activity", {
            "id": number, "owner_type": 3, "owner": 600, "user": 1, "deadline": "", "title": "cel2crm", "at": 0.0,
            "words": f"cel2crm-{marker_of(call(1, 0)).client}- of somebody",
        })  # fmt: skip
    view = follow_up_view(await followed(crm, call(1, 0), until=FIND), MISSED, crm.client.plan)
    request = crm.client.request(view, call(1, 0))
    opened = advance(
        await followed(crm, call(1, 0), until=FIND),
        Due(utc_now_us(), request.sent, step=request.step, follow_up=MISSED), crm.client.plan, POLICY,
    ).delivery  # fmt: skip
    answer = await crm.client.send(follow_up_view(opened, MISSED, crm.client.plan), boot_seconds() + 5)
    assert isinstance(answer, RetryLater) and "does not filter" in answer.why


def test_due_is_counted_from_the_call_and_never_in_the_past() -> None:
    settings, missed = MissedCallTaskSettings(due_minutes=60), call(1, 0)
    portal = PortalSettings(name="main", crm="kommo")
    assert tasks.due_at(missed, portal, settings, missed.ended_at + MINUTE) == missed.ended_at + 60 * MINUTE
    assert tasks.due_at(missed, portal, settings, missed.ended_at + 90 * MINUTE) == missed.ended_at + 150 * MINUTE


def test_due_may_count_working_hours_alone() -> None:
    """Friday evening, an hour of work: Monday morning."""
    schedules = {"office": ScheduleSettings(hours={"mon-fri": ("09:00-18:00",)}, timezone="Europe/Moscow")}
    task: Any = {"due_minutes": 60, "working_hours": True}
    portal = PortalSettings(name="main", crm="kommo", missed_call_task=task).with_schedules(schedules)
    assert portal.missed_call_task is not None
    friday = int(datetime(2026, 11, 27, 17, 45, tzinfo=ZoneInfo("Europe/Moscow")).timestamp()) * MICROS_PER_SECOND
    due = tasks.due_at(call(1, 0, ended_at=friday), portal, portal.missed_call_task, friday)
    assert datetime.fromtimestamp(due // MICROS_PER_SECOND, ZoneInfo("Europe/Moscow")).isoformat() == (
        "2026-11-30T09:45:00+03:00"
    )


def test_working_hours_need_a_schedule() -> None:
    portal = PortalSettings(name="main", crm="kommo", missed_call_task={"working_hours": True})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"missed_call_task\.working_hours: it does not say which schedule"):
        portal.with_schedules({})


# What the matrix found.


async def test_a_talk_that_was_none_after_all_closes_nothing(crm: Crm) -> None:
    """Its later version says missed: its follow-up of before must not close the task of that version."""
    await followed(crm, call(1, 0))
    closing = await followed(crm, talk(2, 10), until=CLOSE)
    newer = call(2, 10, version=closing.version + 1)
    revised = advance(closing, with_follow_ups(crm, newer), crm.client.plan, POLICY).delivery
    done = await followed(crm, newer, revised)
    assert len(crm.open_tasks()) == 1
    assert follow_up(done, MISSED).state is State.SKIPPED, "the client's task stands"


@ONLY_KOMMO
async def test_kommo_an_account_that_is_gone_does_not_pass_for_a_task_that_is(crm: Crm) -> None:
    await followed(crm, call(1, 0))
    crm.portal.faults.order({"mode": "404", "methods": ["edit_tasks"], "times": 1})
    closed = await followed(crm, talk(2, 10))
    assert crm.open_tasks() == []
    assert [line.outcome for line in follow_up(closed, CLOSE).history] == ["later", "done"]


async def test_a_task_that_goes_while_it_is_closed_is_no_trouble(crm: Crm) -> None:
    """A person deletes it between our list and our change."""
    await followed(crm, call(1, 0))
    number = crm.open_tasks()[0]
    operation = {"bitrix24": "activity.list", "kommo": "tasks"}[crm.portal.name]

    def delete(moment: str, inbound: Any) -> None:
        if moment == "answered" and inbound.operation.endswith(operation) and inbound.method != "PATCH":
            crm.portal.on_request = None
            crm.person_deletes(number)

    crm.portal.on_request = delete
    closed = await followed(crm, talk(3, 10))
    assert crm.tasks() == [] and follow_up(closed, CLOSE).state is State.DELIVERED
    assert [line.outcome for line in follow_up(closed, CLOSE).history] == ["later", "done"]


def at_change(crm: Crm, moment: str, then: Any) -> None:
    """Do something once when a task is changed, while its request is under way."""
    operation = {"bitrix24": "activity.update", "kommo": "edit_tasks"}[crm.portal.name]

    def act(when: str, inbound: Any) -> None:
        if when == moment and inbound.operation.endswith(operation):
            crm.portal.on_request = None
            then()

    crm.portal.on_request = act


async def test_a_task_that_is_closed_while_a_missed_call_takes_it_for_its_own(crm: Crm) -> None:
    """A talk from before that call closes it between that call's look and its change: the call gets one of its own."""
    await followed(crm, call(1, 0))
    (first,) = crm.open_tasks()
    at_change(crm, "arrived", lambda: crm.person_completes(first))
    await followed(crm, call(3, 20))
    assert len(crm.tasks()) == 2 and len(crm.open_tasks()) == 1


async def test_a_task_that_speaks_of_a_later_call_by_the_time_it_is_closed_is_opened_again(crm: Crm) -> None:
    await followed(crm, call(1, 0))
    (task,) = crm.tasks()
    later = tasks.with_later_end(task["text"].rpartition("\n")[2], call(3, 20).ended_at // MICROS_PER_SECOND)

    def rewrite() -> None:
        if isinstance(crm.portal, Bitrix24Portal):
            change = {"id": task["id"], "changes": {"words": later}, "at": 0.0, "by": "rest"}
            crm.store.record("activity_changed", change)
        else:
            crm.store.change(task["id"], {"text": later})

    at_change(crm, "arrived", rewrite)
    closed = await followed(crm, talk(2, 10))
    assert crm.open_tasks() == [task["id"]] and tasks.CLOSED not in follow_up(closed, CLOSE).ids


async def test_a_shadow_records_what_the_task_would_say(crm: Crm) -> None:
    asked = replace(fresh(crm.client, call(1, 0), utc_now_us()), follow_ups=(FollowUp(kind=MISSED),))
    told = orjson.loads(shadowed(crm.client, asked, call(1, 0), utc_now_us()).sent)
    assert told["missed_task"]["words"] == task_words(call(1, 0), MissedCallTaskSettings())
    without = orjson.loads(shadowed(crm.client, replace(asked, follow_ups=()), call(1, 0), utc_now_us()).sent)
    assert {name: fields for name, fields in told.items() if name != "missed_task"} == without
    assert crm.tasks() == [] and crm.portal.entries() == []
