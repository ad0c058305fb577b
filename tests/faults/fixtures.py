"""The parts of a cell: its calls, its portal, our client and settings for it, and what an entry should show."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from pydantic import SecretStr

from deploy.fake_crms import (
    Bitrix24Config,
    Bitrix24Portal,
    Entry,
    KommoConfig,
    KommoPortal,
    Portal,
    WebhookConfig,
    WebhookPortal,
)
from deploy.fake_crms.webhook import FAKE_SECRET
from schemas import SchemaRegistry, Serializer
from streams.calls.result import CallResult
from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.crm.shared.adapter import make_client
from streams.crm.shared.client import CrmClient
from streams.rules import Rules, load_rules
from streams.settings import PortalSettings
from streams.workers.deliver.batched_log import SCHEMA
from tests.crm.calls import call_result
from tests.faults.cells import Cell
from tests.faults.portal_faults import REQUEST_LIMIT_S, SETTLE_S

FOR_EVER = 1e9
"""Seconds: a cell's portal may have a clock that is days ahead."""


def result_of(cell: Cell, number: int) -> CallResult:
    """An external call of a kind that the seed draws."""
    rng = Random(f"{cell.id}:{number}")
    answered = rng.random() < 0.5
    started = utc_now_us() - rng.choice((20, 3600)) * 90 * MICROS_PER_SECOND // 90
    return call_result(
        number,
        started_at=started,
        ended_at=started + 10 * MICROS_PER_SECOND,
        **{
            "direction": rng.choice(("incoming", "outgoing")),
            "answered": answered,
            "result": 200 if answered else rng.choice((404, 408, 480, 484, 486, 500, 603)),
            "talk_seconds": rng.uniform(1, 300) if answered else None,
            "client": f"+7916{rng.randrange(10**7):07d}",
            **cell.call,
        },
    )


def differences(result: CallResult, entry: Entry, crm: str) -> list[str]:
    """Where an entry is not what the call's result asks for."""
    rules = _rules()
    expected: dict[str, object] = {
        "phone": result.client,
        "direction": result.direction,
        "popup": False,
        "duration": max(1, round(result.talk_seconds or 0)) if result.answered else 0,
    }
    if crm == "webhook":
        fields = {"duration": round(result.talk_seconds or 0), "words": result.result_name}
        expected |= {**fields, "phone": result.client or result.called, "status": str(result.result)}
    elif crm == "bitrix24":
        expected["status"] = rules.tables["bitrix24"].status(result).code
    else:
        outcome = rules.tables["kommo"].status(result)
        expected |= {"status": str(outcome.code), "text": outcome.text or None}
    shown: Mapping[str, object] = entry.as_json()
    return [f"{name} is {shown[name]!r}, not {value!r}" for name, value in expected.items() if shown[name] != value]


@cache
def _rules() -> Rules:
    return load_rules()


@cache
def new_serializer() -> Serializer:
    serializer = Serializer(SchemaRegistry("http://127.0.0.1:1"))
    serializer.add_schema("call_result", 1)
    serializer.add_schema(SCHEMA, 2)
    return serializer


def new_portal(cell: Cell, directory: Path) -> Portal:
    state_dir = (
        directory / cell.id.replace(":", "-") if any(o["mode"] == "restart" for o in cell.fault_orders) else None
    )
    if cell.crm == "bitrix24":
        return Bitrix24Portal(
            Bitrix24Config(state_dir=state_dir, **{"bucket_size": 0, "access_lifetime": FOR_EVER, **cell.portal})
        )
    if cell.crm == "webhook":
        return WebhookPortal(WebhookConfig(state_dir=state_dir))
    return KommoPortal(KommoConfig(state_dir=state_dir, **{"requests_per_second": 0, **cell.portal}))


def portal_settings(cell: Cell, portal: Portal) -> PortalSettings:
    fields: dict[str, Any] = {
        "name": "main",
        "crm": cell.crm,
        "default_user": "1",
        "users": {"1001": "11"},
        "rate_limit": {"burst": 1000, "per_second": 1000},
        "request_timeout_seconds": REQUEST_LIMIT_S,
        "settle_seconds": SETTLE_S,
        **cell.settings,
    }
    if isinstance(portal, Bitrix24Portal):
        fields |= {"url": portal.url, "token": SecretStr("fake-access-token")}
    elif isinstance(portal, WebhookPortal):
        fields |= {"url": portal.webhook_url, "allow_private": True, "secret": SecretStr(FAKE_SECRET)}
    else:
        fields |= {"url": portal.url, "token": SecretStr("fake-long-lived-token")}
    return PortalSettings(**fields)


def new_client(settings: PortalSettings) -> CrmClient:
    return make_client(settings, _rules())
