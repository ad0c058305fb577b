"""Callbook for the delivery worker."""

from streams.crm.shared.adapter import CrmAdapter

from .client import CallbookClient
from .kind import KIND
from .plan import PLAN

ADAPTER = CrmAdapter(
    plan=PLAN,
    make_client=lambda portal, rules, tokens: CallbookClient(portal, rules.table(KIND.name).status),
)
