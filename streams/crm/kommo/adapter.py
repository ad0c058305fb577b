"""Kommo for the delivery worker."""

from streams.crm.kommo.client import KommoClient
from streams.crm.kommo.kind import KIND
from streams.crm.kommo.plan import PLAN
from streams.crm.kommo.tokens import KommoTokens
from streams.crm.shared.adapter import CrmAdapter

ADAPTER = CrmAdapter(
    plan=PLAN,
    make_client=lambda portal, rules, tokens: KommoClient(portal, rules.table(KIND.name).status, tokens),
    token_vendor=KommoTokens,
)
