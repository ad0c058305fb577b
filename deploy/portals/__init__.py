"""Fake portals for demo and tests: Bitrix24 and Kommo as HTTP servers that behave as the vendors document, and a
receiver of webhooks.

    async with Bitrix24Portal(Bitrix24Config()) as portal:
        ... portal.url, portal.webhook_url, portal.entries(), portal.faults.order({"mode": "503", "times": 3})

or as a process: `python -m deploy.portals bitrix24 --state-dir DIR`, steered through `/_fake/` (control.py).
"""

from deploy.portals.bitrix24 import Bitrix24Config, Bitrix24Portal
from deploy.portals.entry import STAFF, Entry, PortalUser
from deploy.portals.faults import BadFaultError, Fault
from deploy.portals.kommo import KommoConfig, KommoPortal
from deploy.portals.server import Portal, PortalConfig
from deploy.portals.webhook import WebhookConfig, WebhookPortal

__all__ = [
    "STAFF",
    "BadFaultError",
    "Bitrix24Config",
    "Bitrix24Portal",
    "Entry",
    "Fault",
    "KommoConfig",
    "KommoPortal",
    "Portal",
    "PortalConfig",
    "PortalUser",
    "WebhookConfig",
    "WebhookPortal",
]
