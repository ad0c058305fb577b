"""What a CRM's probe promises: points, places in the fake, trial portals only, every point told."""

import ast
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.fake_crms import Bitrix24Config, Bitrix24Portal
from deploy.fake_crms.bitrix24.limits import FINISH_SECONDS
from streams.crm.bitrix24 import probe as bitrix24_probe
from streams.crm.bitrix24.probe import MOST_SECONDS
from streams.crm.registry import registered
from streams.crm.shared import probe as shared
from streams.crm.shared.probe import (
    Outcome,
    probe_for,
    probe_of,
)
from streams.errors import UserError
from streams.settings import PortalSettings
from tests.crm.probes import probed, result

ROOT = Path(__file__).parents[2]
CRMS = ("bitrix24", "kommo")


@pytest.fixture
async def bitrix24() -> AsyncIterator[Bitrix24Portal]:
    async with Bitrix24Portal(Bitrix24Config(bucket_size=0)) as portal:
        yield portal


def test_each_point_has_a_number_of_its_own_and_the_eight_are_there() -> None:
    numbers = [point.number for crm in CRMS for point in _points(crm)]
    assert sorted(numbers) == list(range(1, 9))


def _points(crm: str) -> tuple[shared.Point, ...]:
    probe = probe_of(crm)
    assert probe is not None
    return probe.points


@pytest.mark.parametrize("crm", CRMS)
def test_the_place_of_the_fake_that_a_point_names_is_there(crm: str) -> None:
    for point in _points(crm):
        expected = point.expected
        file = ROOT / expected.file
        assert file.is_file() and file.is_relative_to(ROOT / "deploy" / "fake_crms" / crm), expected
        assert expected.name in set(_names(file)), f"{expected.file} defines no {expected.name}"


def _names(file: Path) -> Iterator[str]:
    """What a file defines: functions, constants, fields of its classes."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_the_figure_of_the_vendors_sample_is_the_fakes() -> None:
    assert MOST_SECONDS == FINISH_SECONDS


@pytest.mark.parametrize("fields", [{}, {"trial": False}])
async def test_a_portal_that_is_no_trial_gets_nothing(bitrix24: Bitrix24Portal, fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="not marked as a trial"):
        await probed(bitrix24, **{"trial": False, **fields})
    assert not bitrix24.log


def test_a_crm_without_a_probe_is_one_sentence() -> None:
    for trial in (True, False):
        portal = PortalSettings(name="hook", crm="webhook", url="https://example.com", trial=trial)
        with pytest.raises(UserError, match="there is no probe for"):
            probe_for(portal)


def test_a_point_of_another_crm_is_refused() -> None:
    portal = PortalSettings(name="main", crm="kommo", url="https://x.kommo.com", trial=True)
    with pytest.raises(UserError, match="no point 3"):
        probe_for(portal, frozenset((3, 4)))


@pytest.mark.parametrize("reference", ["no_such_module:PROBE", "streams.crm.kommo.probe:run"])
def test_a_probe_that_cannot_be_used_is_said(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = replace(registered().kinds["kommo"], probe=reference)
    monkeypatch.setattr(shared, "kind_of", lambda _: kind)
    with pytest.raises(UserError, match="cannot be probed"):
        probe_of("kommo")


async def test_a_probe_that_breaks_still_tells_every_point(
    bitrix24: Bitrix24Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(bitrix24_probe._Probe, "_scopes", broken)
    report = await probed(bitrix24)
    assert [one.point.number for one in report.results] == [1, 2, 3, 7, 8]
    assert "oh" in result(report, 3).words and result(report, 3).outcome is Outcome.NOT_DONE
