"""`cel2crm portal check`: what is shown, as JSON too, and how the command ends."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.credentials.record import Credential
from streams.crm.shared.tokens import Pair
from tests.cli.commands import run
from tests.cli.test_portal import PortalOperator, desk  # noqa: F401
from tests.credentials.shared import FIRST_ACCESS, FIRST_REFRESH


def authorised(operator: PortalOperator, *, access_seconds: int = 3600) -> None:
    """Put tokens that the portal takes into the store."""
    now = utc_now_us()
    pair = Pair(
        access=FIRST_ACCESS,
        refresh=FIRST_REFRESH,
        received_at=now,
        access_until=now + access_seconds * MICROS_PER_SECOND,
        refresh_until=now + 90 * 86400 * MICROS_PER_SECOND,
    )
    operator.store.stored[operator.key] = Credential(operator.key, 1, pair)


async def test_a_good_portal_ends_with_0(desk: PortalOperator) -> None:  # noqa: F811
    desk.set(default_user="1", users={"1001": "11"})
    authorised(desk)
    done = await desk.run("check", "main")
    assert done.status == 0, done
    lines = done.stdout.splitlines()
    assert all(line.startswith("good") for line in lines)
    for part in ("all 2 users that the settings name are active", "refresh token is good until", "calls of all"):
        assert part in done.stdout
    assert not desk.portal.entries() and not desk.portal.orphans()
    for hidden in (FIRST_ACCESS, FIRST_REFRESH, "fake-client-secret"):
        assert hidden not in done.stdout + done.stderr


async def test_a_fault_ends_with_1_and_says_what_to_do(desk: PortalOperator) -> None:  # noqa: F811
    desk.set(default_user="1", users={"1001": "404"})
    authorised(desk)
    done = await desk.run("check", "main")
    assert done.status == 1
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("MEND  users") and "users: 1001" in first and "Set another id under" in second
    done = await desk.run("check", "main", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.status == 1 and {one["level"] for one in found} == {"good", "fault"}
    assert found[0]["portal"] == "main" and found[0]["about"] == "users" and "404" in found[0]["what"]
    assert "portals[].users" in found[0]["remedy"]


async def test_an_access_token_that_is_over_is_renewed_as_a_worker_does(desk: PortalOperator) -> None:  # noqa: F811
    desk.set(default_user="1")
    authorised(desk, access_seconds=-1)
    done = await desk.run("check", "main")
    assert done.status == 0, done
    assert desk.store.stored[desk.key].pair.refresh != FIRST_REFRESH


async def test_a_portal_that_is_away_ends_with_2(desk: PortalOperator) -> None:  # noqa: F811
    desk.set(default_user="1")
    authorised(desk)
    await desk.portal.go_away()
    done = await desk.run("check", "main")
    assert done.status == 2 and "away  portal" in done.stdout and "nobody answers" in done.stdout


async def test_a_portal_that_is_not_authorised_says_by_which_command(desk: PortalOperator) -> None:  # noqa: F811
    desk.set(default_user="1")
    done = await desk.run("check", "main")
    assert done.status == 1 and "run `cel2crm portal authorise main`" in done.stdout
    authorised(desk)
    desk.store.stored[desk.key] = replace(desk.store.stored[desk.key], refused="withdrawn")
    done = await desk.run("check", "main")
    # The access token is still good: what has ended is the one that renews it.
    assert done.status == 1 and done.stdout.startswith("MEND  authorisation") and "withdrawn" in done.stdout


async def test_names_from_the_crm_are_shown_and_never_obeyed(desk: PortalOperator) -> None:  # noqa: F811
    desk.set(default_user="1", users={"1001": "404\x1b[2J"})
    authorised(desk)
    done = await desk.run("check", "main")
    assert done.status == 1 and "\x1b" not in done.stdout


def test_an_unknown_portal_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cel2crm.yaml"
    file.write_text("portals: [{name: main, crm: kommo, url: 'https://x.kommo.com'}]", encoding="utf-8")
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))
    done = run("portal", "check", "mian")
    assert done.status == 2 and "Known: main." in done.stderr
