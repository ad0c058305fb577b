"""The webhook client against the fake receiver, and its pure parts as tables."""

import dataclasses
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from standardwebhooks import Webhook

import schemas
from deploy.fake_crms import WebhookConfig, WebhookPortal
from deploy.fake_crms.exchange import Answer as PortalAnswer
from deploy.fake_crms.exchange import Inbound
from deploy.fake_crms.webhook import FAKE_SECRET
from streams.clock import boot_seconds
from streams.crm.webhook.client import WebhookClient
from streams.crm.webhook.steps import answer_of, body_of, message_id
from streams.delivery.answers import Answer, NotSent, OutcomeUnknown, PortalBlocked, Refused, RetryLater, Succeeded
from streams.delivery.events import CommandReceived
from streams.delivery.machine import advance
from streams.delivery.record import Action, OperatorCommand, State
from streams.errors import SettingsError
from streams.http.request import NoReply, NothingSent, Reply, TooLate
from streams.settings import PortalSettings
from tests.crm.calls import POLICY, STARTED, arrived, call_result, delivered, opened

OTHER_SECRET = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIDI0IGJ5dGVzIQ=="
WHY = "connection reset"
ANSWERS: list[tuple[object, Answer]] = [
    (TooLate(), NotSent()),
    (NothingSent(WHY), RetryLater(WHY, whole_portal=True)),
    (NothingSent(WHY, needs_a_person=True), PortalBlocked(WHY)),
    (NoReply(WHY), OutcomeUnknown(WHY)),
    *((Reply(status, {}, None), Succeeded({"webhook-id": "msg_1"})) for status in (200, 201, 202, 204, 299)),
    (Reply(429, {"Retry-After": "7"}, None), RetryLater("too many requests", 7_000_000, whole_portal=True)),
    (Reply(500, {}, None, b"<h1>Oops</h1>\n at 0x1"), OutcomeUnknown("HTTP 500: <h1>Oops</h1> at 0x1")),
    (Reply(503, {"Retry-After": "30"}, None), OutcomeUnknown("HTTP 503", 30_000_000)),
    (
        Reply(410, {}, None, b"unsubscribed"),
        PortalBlocked("it wants no more calls (HTTP 410: unsubscribed)", for_good=True),
    ),
    (Reply(422, {}, None, b"no such field: did"), Refused("HTTP 422: no such field: did")),
    (Reply(400, {}, None, b"\x00\xff" * 9), Refused("HTTP 400")),
    (Reply(409, {}, None), RetryLater("it says that the request conflicts with another one (HTTP 409)")),
]
BY_STATUS = {
    PortalBlocked: (301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 410, 415, 421),
    RetryLater: (408, 409, 423, 425, 429),
    Refused: (400, 406, 411, 413, 414, 418, 422, 499),
    OutcomeUnknown: (500, 501, 502, 503, 504, 520),
}


def settings(**fields: Any) -> PortalSettings:
    base = {"name": "main", "crm": "webhook", "secret": SecretStr(FAKE_SECRET), "allow_private": True}
    return PortalSettings.model_validate({**base, **fields})


@pytest.fixture
async def portal() -> AsyncIterator[WebhookPortal]:
    async with WebhookPortal() as portal:
        yield portal


@pytest.fixture
async def client(portal: WebhookPortal) -> AsyncIterator[WebhookClient]:
    client = WebhookClient(settings(url=portal.webhook_url))
    yield client
    await client.close()


def soon(seconds: float = 5.0) -> float:
    return boot_seconds() + seconds


# Pure.


@pytest.mark.parametrize(("ending", "answer"), ANSWERS)
def test_what_the_end_of_a_request_proves(ending: Any, answer: Answer) -> None:
    assert answer_of(ending, "msg_1", 0) == answer


@pytest.mark.parametrize(("status", "kind"), [(each, kind) for kind, every in BY_STATUS.items() for each in every])
def test_what_a_status_means(status: int, kind: type) -> None:
    assert type(answer_of(Reply(status, {}, None), "msg_1", 0)) is kind


def test_an_id_belongs_to_a_version_of_a_call() -> None:
    assert message_id("pbx1/1.1", 7) == message_id("pbx1/1.1", 7)
    ids = {message_id(call, version) for call in ("pbx1/1.1", "pbx1/1.11") for version in (1, 7, 17)}
    assert len(ids) == 6
    assert not any("." in each for each in ids)  # what is signed is parted by full stops


def test_the_body_has_the_fields_of_the_record_and_times_that_anybody_reads() -> None:
    body = json.loads(body_of(call_result(answered_at=None)))
    assert list(body) == ["type", "timestamp", "schema_version", "data"]
    assert (body["type"], body["schema_version"]) == ("call.finished", 1)
    data = body["data"]
    assert set(data) == {field["name"] for field in schemas.load("call_result")["fields"]}
    assert body["timestamp"] == data["ended_at"] == "2025-11-24T16:01:10.000Z"
    assert (data["started_at"], data["answered_at"]) == ("2025-11-24T16:00:00.000Z", None)
    assert (data["call_id"], data["client"], data["result"]) == (f"pbx1/{STARTED // 10**6}.1", "+79161234567", 200)
    assert body_of(call_result()) == body_of(call_result())


def test_the_library_signs_as_the_standard_says() -> None:
    """The vector of the specification's own libraries."""
    moment = datetime.fromtimestamp(1614265330, UTC)
    signature = Webhook(FAKE_SECRET).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


# Over HTTP.


async def test_a_call_arrives_signed(portal: WebhookPortal, client: WebhookClient) -> None:
    result = call_result()
    answer = await client.send(opened(client, result), soon())
    assert answer == Succeeded({"webhook-id": message_id(result.call_id, result.version)})
    (entry,) = portal.entries()
    assert (entry.external_id, entry.phone, entry.direction, entry.status) == (
        result.call_id,
        "+79161234567",
        "incoming",
        "200",
    )
    assert (entry.duration, entry.words, entry.user) == (61, "Success", "Anna Ivanova")


async def test_the_same_version_again_is_one_entry_and_another_is_another(
    portal: WebhookPortal, client: WebhookClient
) -> None:
    result = call_result()
    later = call_result(version=result.version + 1, answered=False, result=480)
    for each in (result, result, later, result):
        assert isinstance(await client.send(opened(client, each), soon()), Succeeded)
    assert [entry.status for entry in portal.entries()] == ["200", "480"]
    assert len(portal.log) == 4


async def test_a_delivered_call_that_is_ordered_again_is_no_second_entry_though_it_has_a_later_version(
    portal: WebhookPortal, client: WebhookClient
) -> None:
    result = call_result()
    later = call_result(version=result.version + 1, answered=False, result=480)
    delivery = await delivered(client, result)
    for number in (1, 2):
        order = OperatorCommand(f"c{number}", Action.DELIVER, "ann", STARTED)
        ordered = advance(delivery, CommandReceived(STARTED, order, arrived(later)), client.plan, POLICY).delivery
        assert ordered.state is State.NEW
        delivery = await delivered(client, later, delivery=ordered)
        assert (delivery.state, delivery.sent_version) == (State.DELIVERED, later.version)
    assert [entry.status for entry in portal.entries()] == ["200"]
    assert len(portal.log) == 3


async def test_a_later_version_that_the_settings_want_there_is_another_entry(
    portal: WebhookPortal, client: WebhookClient
) -> None:
    result = call_result()
    later = call_result(version=result.version + 1, answered=False, result=480)
    policy = dataclasses.replace(POLICY, on_revision="update")
    revised = advance(await delivered(client, result), arrived(later), client.plan, policy).delivery
    await delivered(client, later, delivery=revised, policy=policy)
    assert [entry.status for entry in portal.entries()] == ["200", "480"]


async def test_what_was_sent_before_is_repeated_to_the_byte(portal: WebhookPortal, client: WebhookClient) -> None:
    delivery = opened(client, call_result())
    assert delivery.intent is not None
    sent = replace(delivery, intent=replace(delivery.intent, sent=delivery.intent.sent.replace("+79161234567", "+1")))
    assert isinstance(await client.send(sent, soon()), Succeeded)
    assert portal.entries()[0].phone == "+1"


FAULTS: dict[str, tuple[type, int]] = {
    # mode: what it means, and how many entries it leaves
    "500": (OutcomeUnknown, 0),
    "503": (OutcomeUnknown, 0),
    "429": (RetryLater, 0),
    "404": (PortalBlocked, 0),
    "portal_deleted": (PortalBlocked, 0),
    "moved": (PortalBlocked, 0),
    "html": (OutcomeUnknown, 0),
    "reset": (OutcomeUnknown, 0),
    "lost_answer": (OutcomeUnknown, 1),
    "half_answer": (Succeeded, 1),
    "garbage200": (Succeeded, 1),
    "empty200": (Succeeded, 1),
    "duplicate": (Succeeded, 1),
}


@pytest.mark.parametrize("mode", FAULTS)
async def test_what_a_fault_means_and_that_a_repeat_heals_it(
    mode: str, portal: WebhookPortal, client: WebhookClient
) -> None:
    kind, entries = FAULTS[mode]
    portal.faults.order({"mode": mode, "times": 1})
    delivery = opened(client, call_result())
    assert type(await client.send(delivery, soon())) is kind
    assert len(portal.entries()) == entries
    assert isinstance(await client.send(delivery, soon()), Succeeded)
    assert len(portal.entries()) == 1


async def test_silence_is_an_unknown_outcome(portal: WebhookPortal, client: WebhookClient) -> None:
    portal.faults.order({"mode": "hang", "seconds": 30})
    assert isinstance(await client.send(opened(client, call_result()), soon(0.2)), OutcomeUnknown)


async def test_nobody_there_and_too_late(portal: WebhookPortal, client: WebhookClient) -> None:
    assert isinstance(await client.send(opened(client, call_result()), boot_seconds()), NotSent)
    await portal.go_away()
    answer = await client.send(opened(client, call_result()), soon())
    assert isinstance(answer, RetryLater) and answer.whole_portal
    assert not portal.log


class Chatty(WebhookPortal):
    """Tells a megabyte in every answer."""

    def answer(self, inbound: Inbound) -> PortalAnswer:
        said = super().answer(inbound)
        return PortalAnswer(said.status, "word " * 200_000)


async def test_of_a_long_answer_only_the_status_counts() -> None:
    async with Chatty() as portal:
        client = WebhookClient(settings(url=portal.webhook_url))
        assert isinstance(await client.send(opened(client, call_result()), soon()), Succeeded)
        await client.close()


async def test_during_a_rotation_old_and_new_receivers_verify(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{OTHER_SECRET}\n\n{FAKE_SECRET}\n", encoding="utf-8")
    for known in (FAKE_SECRET, OTHER_SECRET):
        async with WebhookPortal(WebhookConfig(secrets=(known,))) as portal:
            client = WebhookClient(settings(url=portal.webhook_url, secret=None, secret_file=file))
            assert isinstance(await client.send(opened(client, call_result()), soon()), Succeeded)
            await client.close()


async def test_a_receiver_that_knows_another_secret_pauses(portal: WebhookPortal) -> None:
    client = WebhookClient(settings(url=portal.webhook_url, secret=SecretStr(OTHER_SECRET)))
    answer = await client.send(opened(client, call_result()), soon())
    assert isinstance(answer, PortalBlocked) and "portals[].secret" in answer.why
    await client.close()


async def test_private_addresses_are_refused_unless_allowed(portal: WebhookPortal) -> None:
    url = portal.webhook_url.replace("http:", "https:").replace("127.0.0.1", "localhost.localdomain")
    client = WebhookClient(settings(url=url, allow_private=False))
    client._url = client._url.with_host("127.0.0.1")  # as a name server may say
    answer = await client.send(opened(client, call_result()), soon())
    assert isinstance(answer, PortalBlocked) and "private or reserved" in answer.why
    assert not portal.log
    await client.close()


@pytest.mark.parametrize("mode", ["html", "reset", "401", "portal_deleted", "moved", "refuse"])
async def test_no_secret_in_what_is_said_of_a_failure(mode: str, portal: WebhookPortal) -> None:
    secret_url = SecretStr(f"{portal.webhook_url}?key=s3cret")
    client = WebhookClient(settings(webhook_url=secret_url))
    portal.faults.order({"mode": mode, "seconds": 1})
    delivery = opened(client, call_result())
    said = f"{await client.send(delivery, soon())} {delivery.record()} {client.fingerprint}"
    assert "s3cret" not in said and FAKE_SECRET.removeprefix("whsec_") not in said
    await client.close()


async def test_another_address_or_secret_is_another_fingerprint(client: WebhookClient, portal: WebhookPortal) -> None:
    fields: list[dict[str, Any]] = [
        {"url": portal.webhook_url},
        {"url": portal.webhook_url + "?v=2"},
        {"url": portal.webhook_url, "secret": SecretStr(OTHER_SECRET)},
    ]
    clients = [WebhookClient(settings(**each)) for each in fields]
    prints = [each.fingerprint for each in clients]
    assert prints[0] == client.fingerprint and len(set(prints)) == 3
    for each in clients:
        await each.close()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "portals.main.webhook_url is not set"),
        ({"url": "hooks.example.com"}, "portals.main.url is not a web address"),
        ({"url": "http://hooks.example.com/x", "allow_private": False}, "portals.main.url is not https"),
        ({"url": "https://10.1.2.3/x", "allow_private": False}, "portals.main.url is a private or reserved address"),
        ({"url": "https://[::1]/x", "allow_private": False}, "portals.main.url is a private or reserved address"),
        ({"url": "https://localhost/x", "allow_private": False}, "portals.main.url is a private or reserved address"),
        ({"url": "https://x.example", "secret": None}, "portals.main.secret is not set"),
        ({"url": "https://x.example", "secret": SecretStr("")}, "portals.main.secret is empty"),
        ({"url": "https://x.example", "secret": SecretStr("s3cret")}, "portals.main.secret is not whsec_"),
        ({"url": "https://x.example", "secret": SecretStr("whsec_c2hvcnQ=")}, "portals.main.secret is not whsec_"),
        ({"url": "https://x.example", "secret": SecretStr(FAKE_SECRET + "\nwhsec_%%")}, "portals.main.secret, line 2,"),
    ],
)
def test_a_missing_or_wrong_setting_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as error:
        WebhookClient(settings(**fields))
    assert named in error.value.problem and error.value.remedy
    assert "s3cret" not in str(error.value) and "c2hvcnQ" not in str(error.value)
