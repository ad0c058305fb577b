"""Fake CRM portals for demo and tests: Bitrix24 and Kommo as HTTP servers that behave as the vendors document, and a
receiver of webhooks.

    async with Bitrix24Portal(Bitrix24Config()) as portal:
        ... portal.url, portal.webhook_url, portal.entries(), portal.faults.order({"mode": "503", "times": 3})

or as a process: `python -m deploy.fake_crms bitrix24 --state-dir DIR`, controlled through `/_fake/` (control.py).

    bitrix24/  kommo/  webhook/   one CRM each: `portal.py` is where to begin
    portal.py                     the abstract portal: what each CRM defines, and the state that all keep
    server.py                     the HTTP server of a portal
    control.py  page.py           under /_fake/ what tests ask for and order; the page that shows the calls
    faults.py  wire.py            which faults are ordered; how they look on the network
    exchange.py  entry.py         a request and its answer; a call as a user of the CRM sees it, and the users
    journal.py  tokens.py         state that survives a restart; OAuth tokens
    masking.py  phones.py         secrets out of the request log; how CRMs compare phone numbers
"""

from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.portal import Bitrix24Portal
from deploy.fake_crms.entry import STAFF, Entry, PortalUser
from deploy.fake_crms.faults import BadFaultError, Fault
from deploy.fake_crms.kommo.config import KommoConfig
from deploy.fake_crms.kommo.portal import KommoPortal
from deploy.fake_crms.portal import Portal, PortalConfig
from deploy.fake_crms.webhook.portal import WebhookConfig, WebhookPortal

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
