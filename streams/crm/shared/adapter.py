"""A CRM's moving parts: its plan, its client, its token vendor.

Only workers and the commands that need one import it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from streams.crm.registry import kind_of, load_of
from streams.crm.shared.client import CrmClient
from streams.crm.shared.token_vendor import TokenVendor
from streams.crm.shared.tokens import TokenSource
from streams.delivery.plan import Plan
from streams.errors import SettingsError, UserError
from streams.rules import Rules
from streams.settings import PortalSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmAdapter:
    """The moving parts of a CRM; its `CrmKind.adapter` names the module and attribute that holds it."""

    plan: Plan
    make_client: Callable[[PortalSettings, Rules, TokenSource | None], CrmClient]
    """Makes the client of a portal, inside a running event loop; the tokens are there if the portal uses OAuth.
    Raises SettingsError or RulesError."""
    token_vendor: Callable[[PortalSettings], TokenVendor] | None = None
    """Makes the vendor of a portal that uses OAuth; None: the CRM has no OAuth. Raises SettingsError."""


def adapter_of(crm: str) -> CrmAdapter:
    """A CRM's adapter. Raises UserError: there is no such CRM, or its package cannot be used."""
    kind = kind_of(crm)
    adapter = load_of(crm, kind.adapter, "be used")
    if not isinstance(adapter, CrmAdapter):
        raise UserError(f"CRM {crm} cannot be used: {kind.adapter} is not a CrmAdapter")
    return adapter


def plan_of(crm: str) -> Plan:
    """A CRM's plan. Raises UserError as `adapter_of`; also where it does not go with the CRM's kind."""
    plan, revisions = adapter_of(crm).plan, kind_of(crm).revisions
    if plan.crm != crm or set(revisions) - {"keep"} != set(plan.revisions):
        theirs = ", ".join(plan.revisions) or "none"
        raise UserError(
            f"CRM {crm} cannot be used: its plan is of {plan.crm} with the revisions {theirs}, "
            f"and its kind has {', '.join(revisions)}"
        )
    return plan


def make_client(portal: PortalSettings, rules: Rules, tokens: TokenSource | None = None) -> CrmClient:
    """The client of a portal; `tokens` where it uses OAuth. Raises UserError."""
    return adapter_of(portal.crm).make_client(portal, rules, tokens)


def token_vendor(portal: PortalSettings) -> TokenVendor:
    """The vendor that issues a portal's tokens.

    Raises SettingsError where that cannot be said, UserError as `adapter_of`.
    """
    make = adapter_of(portal.crm).token_vendor
    if make is None:
        raise SettingsError(f"portals.{portal.name}.oauth: {portal.kind.title} has no OAuth", "Leave it out.")
    return make(portal)
