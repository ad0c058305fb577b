"""`cel2crm portal probe`: what is asked, shown, written and kept secret, and how the command ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal
from deploy.fake_crms.exchange import Answer
from streams.cli.portal import probe as command
from streams.cli.portal.probe_report import Veil, veiled_host
from streams.cli.portal.report_file import ReportFile
from streams.crm.shared.probe import NUMBER, PREFIX, probe_portal
from streams.errors import UserError
from tests.cli.commands import Done, run
from tests.cli.test_portal import PortalOperator, desk  # noqa: F401
from tests.cli.test_portal_check import authorised
from tests.credentials.shared import FIRST_ACCESS, FIRST_REFRESH

SECRETS = (FIRST_ACCESS, FIRST_REFRESH, "fake-client-secret", "d3m0w3bh00k")


@pytest.fixture
async def bitrix24(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PortalOperator]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        operator = PortalOperator(portal, tmp_path, monkeypatch)
        trial(operator)
        authorised(operator)
        yield operator


def trial(operator: PortalOperator, **fields: Any) -> None:
    """Settings of a trial account, whose rate does not slow the test down."""
    rate = {"burst": 1000, "per_second": 1000}
    operator.set(**{"trial": True, "default_user": "11", "rate_limit": rate, **fields})


def reports_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith("probe.txt")]


def nothing_was_sent(operator: PortalOperator) -> bool:
    return not operator.portal.log


async def test_all_as_the_fakes_have_it_ends_with_0_and_a_report(
    desk: PortalOperator,  # noqa: F811
    tmp_path: Path,
) -> None:
    trial(desk)
    authorised(desk)
    report = tmp_path / "probe.txt"
    done = await desk.run("probe", "main", "--yes", "-o", str(report))
    assert done.status == 0, done
    text = report.read_text(encoding="utf-8")
    assert reports_in(tmp_path) == ["probe.txt"]
    assert text.startswith("# Probe of a ") and "let in by OAuth" in text and PREFIX in text and NUMBER in text
    assert "not over" not in text and "DIFFERENT" not in text
    for shown in (text, done.stdout, done.stderr):
        assert not [secret for secret in SECRETS if secret in shown]
        assert "127.0.0.1" not in shown
    assert f"deploy/fake_crms/{desk.portal.name}/" in text and "## What was made" in text
    assert "same" in done.stdout and "made:" in done.stdout
    assert len([line for line in done.stderr.splitlines() if line.endswith("same")]) >= 3


async def test_a_difference_ends_with_1_and_names_the_place_of_the_fake(
    bitrix24: PortalOperator, tmp_path: Path
) -> None:
    bitrix24.portal.change_settings(window_from="registration")
    report = tmp_path / "probe.txt"
    done = await bitrix24.run("probe", "main", "--yes", "--point", "3", "-o", str(report))
    assert done.status == 1, done
    place = "deploy/fake_crms/bitrix24/config.py: window_from"
    assert place in done.stdout and place in report.read_text(encoding="utf-8")
    assert "DIFFERENT  3" in done.stdout and "left out   8" in done.stdout


async def test_what_could_not_be_done_ends_with_2(bitrix24: PortalOperator) -> None:
    await bitrix24.portal.go_away()
    done = await bitrix24.run("probe", "main", "--yes")
    assert done.status == 2 and "nobody answers at ***" in done.stdout


async def test_points_that_were_all_left_out_are_not_done(bitrix24: PortalOperator) -> None:
    assert (await bitrix24.run("probe", "main", "--yes", "--point", "1")).status == 2


async def test_json_has_an_object_for_each_point_and_each_thing(bitrix24: PortalOperator) -> None:
    bitrix24.portal.change_settings(unknown_inner="not_found")
    done = await bitrix24.run("probe", "main", "--yes", "--json", "--point", "8")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    points = {one["point"]: one for one in found if "point" in one}
    assert done.status == 1 and sorted(points) == [1, 2, 3, 7, 8]
    assert points[8]["outcome"] == "different" and points[8]["expected"]["name"] == "unknown_inner"
    assert points[3]["outcome"] == "left_out"
    assert {one["now"] for one in found if "made" in one} == {"stays", "removed"}


async def test_without_a_yes_nothing_is_sent(bitrix24: PortalOperator, tmp_path: Path) -> None:
    report = tmp_path / "probe.txt"
    done = await bitrix24.run("probe", "main", "-o", str(report), given="n\n")
    assert done.status != 0 and nothing_was_sent(bitrix24) and not reports_in(tmp_path)
    silent = await bitrix24.run("probe", "main")
    assert silent.status == 2 and "--yes" in silent.stderr and nothing_was_sent(bitrix24)
    # In a test standard input is no terminal, so that only --yes goes on.
    assert "test calls" in done.stderr or "outgoing calls" in done.stderr


async def test_a_portal_that_is_no_trial_is_one_clear_sentence(bitrix24: PortalOperator, tmp_path: Path) -> None:
    trial(bitrix24, trial=False)
    done = await bitrix24.run("probe", "main", "--yes", "-o", str(tmp_path / "probe.txt"))
    assert done.status == 2 and "not marked as a trial" in done.stderr and "trial: true" in done.stderr
    assert nothing_was_sent(bitrix24) and not reports_in(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--number", "112"), "--number 112 is no phone number"),
        (("--number", "+44 7700"), "is no phone number"),
        (("--inner", "9x"), "--inner 9x is no inner number"),
        (("--point", "4"), "has no point 4"),
    ],
)
async def test_bad_options_send_nothing(bitrix24: PortalOperator, arguments: tuple[str, ...], said: str) -> None:
    done = await bitrix24.run("probe", "main", "--yes", *arguments)
    assert done.status == 2 and said in done.stderr and nothing_was_sent(bitrix24)


def test_a_webhook_and_an_unknown_portal_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cel2crm.yaml"
    file.write_text("portals: [{name: hook, crm: webhook, url: 'https://x.example', trial: true}]", encoding="utf-8")
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))
    assert "there is no probe for" in (done := run("portal", "probe", "hook", "--yes")).stderr and done.status == 2
    assert "Known: hook." in run("portal", "probe", "hok", "--yes").stderr


async def test_a_report_that_is_there_is_kept_unless_forced(bitrix24: PortalOperator, tmp_path: Path) -> None:
    report = tmp_path / "probe.txt"
    report.write_text("mine", encoding="utf-8")
    arguments = ("probe", "main", "--yes", "--point", "8", "-o", str(report))
    done = await bitrix24.run(*arguments)
    assert done.status == 2 and "--force" in done.stderr and nothing_was_sent(bitrix24)
    assert report.read_text(encoding="utf-8") == "mine"
    assert (await bitrix24.run(*arguments, "--force")).status == 0
    assert report.read_text(encoding="utf-8").startswith("# Probe")


async def test_a_folder_that_cannot_be_written_is_found_before_anything_is_sent(bitrix24: PortalOperator) -> None:
    done = await bitrix24.run("probe", "main", "--yes", "-o", "/proc/no/such/probe.txt")
    assert done.status == 2 and "cannot write" in done.stderr and nothing_was_sent(bitrix24)


async def test_a_probe_that_dies_leaves_beside_its_report_what_it_made(
    bitrix24: PortalOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, seen = tmp_path / "probe.txt", ""
    part = report.with_name("probe.txt.part")
    real = bitrix24.portal.answer

    def answer(inbound: Any) -> Answer:
        nonlocal seen
        if inbound.operation.endswith("finish"):
            seen = part.read_text(encoding="utf-8")
        return real(inbound)

    monkeypatch.setattr(bitrix24.portal, "answer", answer)
    await bitrix24.run("probe", "main", "--yes", "--point", "3", "-o", str(report))
    assert "did not come to its end" in seen and "registered call without an end" in seen and PREFIX in seen
    part.write_text(seen, encoding="utf-8")
    report.unlink()
    done = await bitrix24.run("probe", "main", "--yes", "--point", "3", "-o", str(report))
    assert done.status == 2 and "says what it made" in done.stderr


async def test_a_disk_that_fills_up_stops_no_cleaning(
    bitrix24: PortalOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 0
    real = ReportFile.keep

    def keep(file: ReportFile, text: str) -> None:
        nonlocal kept
        kept += 1
        if kept > 2:
            raise UserError("cannot write: disk full")
        real(file, text)

    monkeypatch.setattr(ReportFile, "keep", keep)
    done = await bitrix24.run("probe", "main", "--yes", "--point", "3", "-o", str(tmp_path / "probe.txt"))
    assert done.status == 0 and done.stderr.count("disk full") == 1 and kept == 3
    assert bitrix24.portal.orphans() == []


async def test_ctrl_c_closes_the_calls_that_are_open(
    bitrix24: PortalOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = bitrix24.portal
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    real_answer, real_probe = portal.answer, probe_portal

    def answer(inbound: Any) -> Answer:
        """The third register is under way when the person at the terminal has seen enough."""
        if inbound.operation.endswith("register") and len(portal.orphans()) == 1 and not portal.entries() and running:
            loop, task = running.pop()
            loop.call_soon_threadsafe(task.cancel)
            portal.faults.order({"mode": "slow", "seconds": 0.5, "times": 1})
        return real_answer(inbound)

    async def remembered(request: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await real_probe(request)

    monkeypatch.setattr(command, "probe_portal", remembered)
    monkeypatch.setattr(portal, "answer", answer)
    report = tmp_path / "probe.txt"
    with pytest.raises(asyncio.CancelledError):
        await bitrix24.run("probe", "main", "--yes", "--point", "3", "-o", str(report))
    assert not running and portal.entries(), "what was registered before is finished"
    text = report.with_name("probe.txt.part").read_text(encoding="utf-8")
    for orphan in portal.orphans():
        assert f"{orphan['external_id']} |" in text and "look for it by this mark" in text


async def test_words_of_the_portal_are_shown_and_never_obeyed(
    bitrix24: PortalOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = f"\x1b[2J<img src=x> @all [x](https://evil.example) | #1 {FIRST_ACCESS} 127.0.0.1 {'y' * 2000}"
    real = bitrix24.portal.answer

    def answer(inbound: Any) -> Answer:
        if inbound.operation.endswith("register"):
            return Answer(400, {"error": "ERROR_CORE", "error_description": hostile})
        return real(inbound)

    monkeypatch.setattr(bitrix24.portal, "answer", answer)
    report = tmp_path / "probe.txt"
    done = await bitrix24.run("probe", "main", "--yes", "--point", "8", "-o", str(report))
    text = report.read_text(encoding="utf-8")
    assert "\\x1b" in done.stdout and "\\x1b" in text.replace("\\\\", "\\")
    for shown in (done.stdout, done.stderr, text):
        assert "\x1b" not in shown and FIRST_ACCESS not in shown and "127.0.0.1" not in shown
        assert "y" * 700 not in shown
    for obeyed in ("<img", "@all", "x](", "https://evil", " | #1"):
        assert obeyed not in text


async def test_the_host_is_told_if_asked_for(bitrix24: PortalOperator, tmp_path: Path) -> None:
    report = tmp_path / "probe.txt"
    await bitrix24.run("probe", "main", "--yes", "--point", "8", "--show-host", "-o", str(report))
    assert "portal: 127.0.0.1" in report.read_text(encoding="utf-8")


async def test_a_webhook_beside_oauth_is_tried_and_its_secret_stays_one(
    bitrix24: PortalOperator, tmp_path: Path
) -> None:
    portal = bitrix24.portal
    assert isinstance(portal, Bitrix24Portal)
    (file := tmp_path / "webhook").write_text(portal.webhook_url, encoding="utf-8")
    trial(bitrix24, webhook_url_file=str(file))
    real = portal.answer

    def answer(inbound: Any) -> Answer:
        if "d3m0w3bh00k" in inbound.path:
            return Answer(400, {"error": "", "error_description": f"no {inbound.path} for you"})
        return real(inbound)

    portal.answer = answer  # type: ignore[method-assign]
    done = await bitrix24.run("probe", "main", "--yes", "--point", "1")
    assert "d3m0w3bh00k" not in done.stdout + done.stderr and "no /rest/1/***/" in done.stdout


def test_the_veil() -> None:
    cloud = r"bitrix24(?:\.com)?\.[a-z]{2,3}"
    assert veiled_host("acme.bitrix24.ru", cloud) == "***.bitrix24.ru"
    assert veiled_host("acme.bitrix24.com.br", cloud) == "***.bitrix24.com.br"
    assert veiled_host("crm.acme.example", cloud) == "***" and veiled_host("acme.example", "") == "***"
    veil = Veil(("acme.bitrix24.ru",), "***.bitrix24.ru")
    veil.hide("secret-token", "1", None)
    assert veil("ACME.bitrix24.ru says secret-token 1") == "***.bitrix24.ru says *** 1"


def test_a_report_never_takes_the_place_of_one_that_came_meanwhile(tmp_path: Path) -> None:
    file = ReportFile(path := tmp_path / "r.txt", force=False)
    path.write_text("theirs", encoding="utf-8")
    with pytest.raises(UserError, match="came to be meanwhile"):
        file.finish("ours")
    assert path.read_text(encoding="utf-8") == "theirs"
    assert path.with_name("r.txt.part").read_text(encoding="utf-8") == "ours"


def test_the_help_teaches() -> None:
    done: Done = run("portal", "probe", "--help")
    assert done.status == 0 and "cel2crm portal probe trial" in done.stdout and "Exit status 0" in done.stdout
