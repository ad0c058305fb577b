"""Webhooks for the delivery worker."""

from streams.crm.shared.adapter import CrmAdapter
from streams.crm.webhook.client import WebhookClient
from streams.crm.webhook.plan import PLAN

ADAPTER = CrmAdapter(plan=PLAN, make_client=lambda portal, rules, tokens: WebhookClient(portal))
