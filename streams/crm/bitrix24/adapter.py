"""Bitrix24 for the delivery worker."""

from streams.crm.bitrix24.client import Bitrix24Client
from streams.crm.bitrix24.failed_reason import failed_reason
from streams.crm.bitrix24.kind import KIND
from streams.crm.bitrix24.plan import PLAN
from streams.crm.bitrix24.tokens import Bitrix24Tokens
from streams.crm.shared.adapter import CrmAdapter

ADAPTER = CrmAdapter(
    plan=PLAN,
    make_client=lambda portal, rules, tokens: Bitrix24Client(
        portal, rules.table(KIND.name).status, tokens, reason=failed_reason(rules.texts)
    ),
    token_vendor=Bitrix24Tokens,
)
