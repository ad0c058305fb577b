"""Bitrix24's register and finish in one request: what each end of it proves, and that no call is doubled by it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal
from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.shared.client import CrmClient
from streams.delivery.answers import OutcomeUnknown, PartlyDone, PortalBlocked, Refused, RetryLater, UserUnknown
from streams.delivery.record import State
from streams.rules import load_rules
from streams.settings import PortalSettings
from streams.workers.deliver.portal_queue import BACKLOG, PortalQueue
from tests.crm.calls import call_result, delivered, fresh, opened
from tests.crm.test_clients import FAULTS, soon

BOTH = "register_finish"
STATUS = load_rules().tables["bitrix24"].status


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield portal


@pytest.fixture
async def client(bitrix24: Bitrix24Portal) -> AsyncIterator[Bitrix24Client]:
    client = Bitrix24Client(settings(bitrix24), STATUS)
    yield client
    await client.close()


def settings(portal: Bitrix24Portal, **fields: Any) -> PortalSettings:
    token = SecretStr("fake-access-token")
    return PortalSettings(
        name="main", crm="bitrix24", url=portal.url, token=token, default_user="1", users={"1001": "11"}, **fields
    )


async def test_a_call_is_registered_and_finished_in_one_request(
    bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    result = call_result(answered=False, result=486, direction="outgoing", talk_seconds=None)
    delivery = await delivered(client, result, hurried=True)
    assert (delivery.state, delivery.status) == (State.DELIVERED, "486")
    assert {"CALL_ID", "CRM_ACTIVITY_ID"} <= delivery.crm_ids.keys()
    assert [line["operation"] for line in bitrix24.log] == ["batch"]
    (entry,) = bitrix24.entries()
    assert (entry.external_id, entry.status, entry.user_id, entry.phone) == (result.call_id, "486", 11, "+79161234567")


@pytest.mark.parametrize("mode", [mode for mode in FAULTS if mode != "500"])
async def test_what_a_fault_of_the_whole_request_means(
    mode: str, bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": mode, "methods": ["batch"]})
    assert type(await client.send(opened(client, call_result(), BOTH), soon())) is FAULTS[mode][0]


async def test_a_portal_that_breaks_over_the_request_may_have_finished_the_call(
    bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": "500", "methods": ["batch"]})
    assert isinstance(await client.send(opened(client, call_result(), BOTH), soon()), OutcomeUnknown)


@pytest.mark.parametrize(
    ("mode", "register", "finish"),
    [("503", RetryLater, PartlyDone), ("500", RetryLater, OutcomeUnknown), ("402", PortalBlocked, PartlyDone)],
)
async def test_what_a_fault_of_one_part_means(
    mode: str, register: type, finish: type, bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    for step, kind in (("register", register), ("finish", finish)):
        bitrix24.faults.order({"mode": mode, "methods": [step], "times": 1})
        assert type(await client.send(opened(client, call_result(), BOTH), soon())) is kind
    assert not bitrix24.entries()


@pytest.mark.parametrize("fault", ["lost_answer", "half_answer", "garbage200", "reset", "html", "500"])
async def test_whatever_becomes_of_the_request_the_call_is_there_once(
    fault: str, bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": fault, "methods": ["batch"], "times": 1})
    delivery = await delivered(client, call_result(), hurried=True)
    assert delivery.state is State.DELIVERED and len(bitrix24.entries()) == 1


async def test_a_finish_that_failed_goes_on_with_the_same_registration(
    bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": "503", "methods": ["finish"], "times": 1})
    delivery = await delivered(client, call_result(), hurried=True)
    assert delivery.state is State.DELIVERED and not bitrix24.orphans()
    assert [line["operation"] for line in bitrix24.log] == ["batch", "telephony.externalcall.finish"]


async def test_an_error_about_the_call_is_told_as_without_a_batch(
    bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    answer = await client.send(opened(client, call_result(client="no number"), BOTH), soon())
    assert isinstance(answer, Refused) and "phone number" in answer.why
    bitrix24.change_settings(scopes=("crm",))
    assert isinstance(await client.send(opened(client, call_result(), BOTH), soon()), PortalBlocked)


@pytest.mark.parametrize(("code", "refused"), [("application_denied", True), ("ERROR_SOMETHING", False)])
@pytest.mark.parametrize("step", ["register", "finish"])
async def test_an_authorisation_refused_inside_a_batch_by_a_code_that_nobody_listed(
    step: str, code: str, refused: bool, bitrix24: Bitrix24Portal, client: Bitrix24Client
) -> None:
    bitrix24.faults.order({"mode": "400", "code": code, "methods": [step]})
    delivery = await delivered(client, call_result(), hurried=True)
    assert delivery.state is (State.PAUSED if refused else State.REFUSED)


async def test_who_left_the_company_is_told_in_a_batch_too(bitrix24: Bitrix24Portal) -> None:
    portal = settings(bitrix24).model_copy(update={"users": {"1001": "19"}})
    client = Bitrix24Client(portal, STATUS)
    assert isinstance(await client.send(opened(client, call_result(), BOTH), soon()), UserUnknown)
    delivery = await delivered(client, call_result(2), hurried=True)
    await client.close()
    assert delivery.unmatched == ("user:19", "1001") and [entry.user_id for entry in bitrix24.entries()] == [1]


@pytest.mark.parametrize(
    ("batch", "waiting", "backlogged"),
    [("auto", BACKLOG + 1, True), ("auto", BACKLOG, False), ("never", BACKLOG + 1, False)],
)
async def test_batches_are_for_when_many_calls_wait(
    batch: str, waiting: int, backlogged: bool, bitrix24: Bitrix24Portal, client: CrmClient
) -> None:
    queue = PortalQueue(settings(bitrix24, bitrix24_batch=batch), client)
    await queue.stop()
    for number in range(waiting):
        queue.schedule(object(), fresh(client, call_result(number)))  # type: ignore[arg-type]
    assert queue.backlogged is backlogged
