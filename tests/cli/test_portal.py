"""`cel2crm portal authorise` and `status` against fake portals: codes, checks, what is stored, what is shown."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal, KommoConfig, KommoPortal, Portal
from streams.credentials.authorisation import code_of, server_of
from streams.credentials.record import Credential
from streams.credentials.sealing import write_new_key
from streams.credentials.store import key_of
from streams.crm.shared.adapter import token_vendor
from streams.delivery.record import Delivery, State
from streams.errors import UserError
from streams.operations import token_store
from streams.settings import OAuthSettings, PortalSettings, load_settings
from tests.cli.commands import Done, run
from tests.credentials.shared import SharedStore, pair
from tests.operations.memory import Operator, make_operator


class PortalOperator:
    """A person at the command line, with one portal in the settings."""

    def __init__(self, portal: Portal, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.portal = portal
        self.store = SharedStore()
        self.key = f"{portal.name}/main"
        self._directory = directory
        self._monkeypatch = monkeypatch
        write_new_key(directory / "key", add=False)
        (directory / "client-secret").write_text("fake-client-secret", encoding="utf-8")
        self.set()

        @asynccontextmanager
        async def open_store(_: object) -> AsyncIterator[SharedStore]:
            yield self.store

        monkeypatch.setattr(token_store, "open_store", open_store)

    def set(self, *others: dict[str, Any], **fields: Any) -> None:
        """Write the settings."""
        bitrix24 = isinstance(self.portal, Bitrix24Portal)
        oauth = {
            "client_id": "local.5f0e.cel2crm" if bitrix24 else "fake-integration-id",
            "client_secret_file": str(self._directory / "client-secret"),
            "redirect_uri": "https://localhost/",
            **({"token_endpoint": f"{self.portal.url}/oauth/token/"} if bitrix24 else {}),
            **fields.pop("oauth", {}),
        }
        main = {"name": "main", "crm": self.portal.name, "url": self.portal.url, "oauth": oauth, **fields}
        tree = {"portals": [main, *others], "credentials": {"key_file": str(self._directory / "key")}}
        file = self._directory / "cel2crm.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        self._monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))

    async def run(self, *arguments: str, given: str = "") -> Done:
        """A command, while the portal goes on."""
        return await asyncio.to_thread(run, "portal", *arguments, given=given.encode())

    def operator(self) -> Operator:
        """The delivery logs that `status` reads."""
        return make_operator(self._monkeypatch, load_settings())


@pytest.fixture(params=["bitrix24", "kommo"])
async def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PortalOperator]:
    portal: Portal = (
        Bitrix24Portal(Bitrix24Config(bucket_size=0))
        if request.param == "bitrix24"
        else KommoPortal(KommoConfig(requests_per_second=0))
    )
    async with portal:
        yield PortalOperator(portal, tmp_path, monkeypatch)


@pytest.fixture
async def bitrix24(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalOperator]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield PortalOperator(portal, tmp_path, monkeypatch)


async def test_a_code_becomes_stored_tokens_that_work(desk: PortalOperator) -> None:
    code = desk.portal.authorise()
    done = await desk.run("authorise", "main", given=code + "\n")
    assert done.status == 0 and "portal main is authorised" in done.stdout and "refresh token until" in done.stdout
    stored = desk.store.stored[desk.key]
    assert desk.portal.tokens.access_status(stored.pair.access, desk.portal.now()) == "valid"
    for hidden in (code, stored.pair.access, stored.pair.refresh, "fake-client-secret"):
        assert hidden not in done.stdout + done.stderr


async def test_the_code_may_come_from_a_file(desk: PortalOperator, tmp_path: Path) -> None:
    file = tmp_path / "code"
    file.write_text(desk.portal.authorise() + "\n", encoding="utf-8")
    assert (await desk.run("authorise", "main", "--code-file", str(file))).status == 0
    missing = await desk.run("authorise", "main", "--code-file", str(tmp_path / "none"))
    assert missing.status == 2 and "none" in missing.stderr


async def test_a_code_is_good_once_and_what_was_stored_stays(desk: PortalOperator) -> None:
    desk.store.stored[desk.key] = before = Credential(desk.key, 1, pair(5))
    code = desk.portal.authorise()
    assert (await desk.run("authorise", "main", given=code)).status == 0
    done = await desk.run("authorise", "main", given=code)
    assert done.status == 2 and "get another one" in done.stderr
    assert desk.store.stored[desk.key] not in (None, before)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"mode": "reset", "methods": ["register", "account"]}, "be asked"),
        ({"mode": "payment_required", "methods": ["token"]}, "no tokens"),
        ({"mode": "lost_answer", "methods": ["token"]}, "no tokens"),
        ({"mode": "access_denied", "methods": ["scope", "account"]}, "does not take the new token"),
        ({"mode": "reset", "methods": ["scope", "account"]}, "cannot be asked"),
    ],
)
async def test_until_all_is_proved_nothing_is_stored(desk: PortalOperator, fault: dict[str, Any], said: str) -> None:
    desk.portal.faults.order(fault)
    done = await desk.run("authorise", "main", given=desk.portal.authorise())
    assert done.status == 2 and said in done.stderr and desk.store.stored == {}


async def test_an_application_without_telephony_is_refused(bitrix24: PortalOperator) -> None:
    bitrix24.portal.change_settings(scopes=("crm", "user"))
    done = await bitrix24.run("authorise", "main", given=bitrix24.portal.authorise())
    assert done.status == 2 and "lacks the scope telephony" in done.stderr and bitrix24.store.stored == {}


@pytest.mark.parametrize(
    ("visible", "said", "stored"),
    [
        ("none", "may not view the calls of all", False),
        ("own", "cannot be told, for the statistics show none of another person", True),
        ("all", "", True),
    ],
)
async def test_the_right_to_see_the_calls_of_all_is_tried(
    bitrix24: PortalOperator, visible: str, said: str, stored: bool
) -> None:
    portal = bitrix24.portal
    assert isinstance(portal, Bitrix24Portal)
    for user in (1, 11):
        call = portal.calls.register(
            {"PHONE_NUMBER": f"123{user}", "TYPE": "2", "USER_ID": user}, portal.now(), portal.config
        )
        portal.calls.finish({"CALL_ID": call["CALL_ID"], "USER_ID": user}, portal.now(), portal.config)
    portal.change_settings(statistics_of=visible, owner_is_admin=False)
    done = await bitrix24.run("authorise", "main", given=portal.authorise())
    assert (done.status == 0) is stored is bool(bitrix24.store.stored)
    assert ("Call statistics: view: all" in done.stdout + done.stderr) is bool(said)
    assert said in done.stdout + done.stderr


async def test_an_application_that_may_register_no_calls_is_refused(bitrix24: PortalOperator) -> None:
    bitrix24.portal.faults.order({"mode": "user_access_error", "methods": ["register"]})
    done = await bitrix24.run("authorise", "main", given=bitrix24.portal.authorise())
    assert done.status == 2 and "narrowed who may use" in done.stderr and bitrix24.store.stored == {}
    assert not bitrix24.portal.orphans()


@pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"client_secret_file": "/nonexistent"}])
async def test_wrong_settings_are_named(desk: PortalOperator, wrong: dict[str, Any]) -> None:
    desk.set(oauth=wrong)
    done = await desk.run("authorise", "main", given=desk.portal.authorise())
    assert done.status == 2 and "oauth" in done.stderr and desk.store.stored == {}


async def test_what_cannot_be_authorised_is_said(desk: PortalOperator) -> None:
    assert "Known: main" in (await desk.run("authorise", "other")).stderr
    desk.set({"name": "fixed", "crm": "kommo", "url": desk.portal.url, "token_file": "/x"})
    assert "nothing to authorise" in (await desk.run("authorise", "fixed")).stderr
    assert "no code was given" in (await desk.run("authorise", "main", given="\n")).stderr


BITRIX24 = token_vendor(
    PortalSettings(name="main", crm="bitrix24", url="https://me.bitrix24.ru", oauth=OAuthSettings(client_id="x"))
)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("  abc123 \n", "abc123"),
        ("https://localhost/?code=abc123&state=S&domain=me.bitrix24.ru&scope=telephony", "abc123"),
        ("https://localhost/?code=abc123&referer=me.bitrix24.ru", "abc123"),
        ("", None),
        ("two words", None),
        ("https://localhost/?error=access_denied", None),
        ("https://localhost/?code=abc123&state=older", None),
        ("https://localhost/?code=abc123&state=S&domain=evil.example", None),
    ],
)
def test_the_code_is_found_in_what_a_person_pastes(given: str, code: str | None) -> None:
    if code is not None:
        assert code_of(given, BITRIX24, "S") == code
        return
    with pytest.raises(UserError) as error:
        code_of(given, BITRIX24, "S")
    assert "abc123" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("abc123", ""),
        ("https://localhost/?code=abc123&domain=me.bitrix24.ru", ""),
        ("https://localhost/?code=abc123&server_domain=oauth.bitrix.info", "oauth.bitrix.info"),
        ("https://localhost/?code=abc123&server_domain=oauth.bitrix24.tech", "oauth.bitrix24.tech"),
        ("https://localhost/?code=abc123&server_domain=oauth.evil.example", None),
    ],
)
def test_the_server_of_tokens_is_the_one_of_the_vendors_two_that_the_address_names(
    given: str, server: str | None
) -> None:
    if server is not None:
        assert server_of(given, BITRIX24) == server
        return
    with pytest.raises(UserError, match=r"oauth\.evil\.example"):
        server_of(given, BITRIX24)


def test_a_person_is_told_where_to_get_the_code_and_no_secret() -> None:
    lines = BITRIX24.instructions("S")
    assert "  https://me.bitrix24.ru/oauth/authorize/?client_id=x&state=S" in lines
    oauth = OAuthSettings(client_id="x", client_secret=SecretStr("hidden"), redirect_uri="https://localhost/cb")
    portal = PortalSettings(name="main", crm="kommo", url="https://me.kommo.com", oauth=oauth)
    told = "\n".join(token_vendor(portal).instructions("S"))
    assert "me.kommo.com" in told and "https://localhost/cb" in told and "hidden" not in told


async def test_status_tells_tokens_and_calls_without_a_secret(desk: PortalOperator) -> None:
    desk.set({"name": "hook", "crm": "bitrix24", "webhook_url_file": "/secret/webhook"})
    desk.store.stored[desk.key] = Credential(desk.key, 1, pair(5))
    operator = desk.operator()
    operator.delivery(Delivery(call_id="pbx1/1", crm=desk.portal.name, portal="main", state=State.NEW))
    done = await desk.run("status", "--json")
    main, hook = (json.loads(line) for line in done.stdout.splitlines())
    assert (main["authorisation"], main["tokens"]["state"], main["waiting"], main["paused"]) == (
        "oauth",
        "good",
        1,
        None,
    )
    assert main["tokens"]["refresh_until"].endswith("UTC")
    assert (hook["authorisation"], hook["tokens"]["state"]) == ("webhook", "fixed")
    assert done.status == 0 and "access-5" not in done.stdout and "refresh-5" not in done.stdout
    shown = await desk.run("status")
    assert shown.status == 0 and "main" in shown.stdout and "hook" in shown.stdout


async def test_status_names_the_command_where_a_person_is_needed(desk: PortalOperator) -> None:
    desk.operator()
    assert (await desk.run("status", "main")).status == 1
    refused = replace(Credential(desk.key, 1, pair(5)), refused="invalid_grant")
    desk.store.stored[desk.key] = refused
    done = await desk.run("status", "main")
    assert done.status == 1 and "cel2crm portal authorise main" in done.stdout and "invalid_grant" in done.stdout


async def test_status_tells_why_a_portal_is_paused(desk: PortalOperator) -> None:
    desk.store.stored[desk.key] = Credential(desk.key, 1, pair(5))
    operator = desk.operator()
    operator.delivery(
        Delivery(
            call_id="pbx1/1", crm=desk.portal.name, portal="main", state=State.PAUSED, reason="the licence has ended"
        )
    )
    done = await desk.run("status", "main")
    assert done.status == 1 and "paused, its calls are kept: the licence has ended" in done.stdout


def test_the_key_of_the_store_tells_crms_apart() -> None:
    assert key_of(PortalSettings(name="main", crm="kommo")) != key_of(PortalSettings(name="main", crm="bitrix24"))
