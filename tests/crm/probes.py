"""Probes of fake portals, and what is asked of their reports."""

from typing import Any

from pydantic import SecretStr

from deploy.fake_crms import Bitrix24Portal, Portal
from streams.clock import boot_seconds
from streams.crm.shared import probe as shared
from streams.crm.shared.client import unpaced
from streams.crm.shared.probe import (
    PREFIX,
    Outcome,
    PointResult,
    ProbeReport,
    ProbeRequest,
    probe_portal,
)
from streams.settings import PortalSettings


def settings_of(portal: Portal, **fields: Any) -> PortalSettings:
    token = "fake-access-token" if isinstance(portal, Bitrix24Portal) else "fake-long-lived-token"
    known = {"url": portal.url, "token": SecretStr(token), "default_user": "11", "trial": True}
    return PortalSettings(name="main", crm=portal.name, **{**known, **fields})


async def probed(portal: Portal, *points: int, run: int = 1, asked: Any = None, **fields: Any) -> ProbeReport:
    """The report of a probe. `asked`: fields of the request, `fields`: of the settings."""
    report = ProbeReport()
    request = ProbeRequest(
        portal=settings_of(portal, **fields),
        tokens=None,
        pace=unpaced,
        until=boot_seconds() + 120,
        marker=f"{PREFIX}20261128T120000-{run:04}",
        report=report,
        points=frozenset(points),
        **(asked or {}),
    )
    await probe_portal(request)
    return report


def result(report: ProbeReport, number: int) -> PointResult:
    (found,) = [one for one in report.results if one.point.number == number]
    return found


def tried(report: ProbeReport) -> dict[int, Outcome]:
    return {one.point.number: one.outcome for one in report.results if one.outcome is not Outcome.LEFT_OUT}


def made(report: ProbeReport, what: str) -> list[shared.Made]:
    return [one for one in report.made if one.what == what]
