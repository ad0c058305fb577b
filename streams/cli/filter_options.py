"""The options that choose dead letters, once for all commands that have them."""

from dataclasses import dataclass
from typing import Annotated

import typer

from streams.errors import UserError
from streams.operations.call_reference import call_ids
from streams.operations.connection import check_crm
from streams.operations.dead_letters import Filter, moment, places_of
from streams.settings import Settings

CrmOption = Annotated[str | None, typer.Option("--crm", help="Only this CRM, by its name in portals[].crm.")]
PortalOption = Annotated[str | None, typer.Option("--portal", help="Only this portal of the settings.")]
ComponentOption = Annotated[str | None, typer.Option("--component", help="Only from this worker: aggregate, or a CRM.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only for this reason, as `list` names it.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="Only from then on: 2026-11-25, or with a time.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Only before then.")]
CallOption = Annotated[str | None, typer.Option("--call", help="Only of this call: linkedid, or PBX/linkedid.")]


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """The options as they were given."""

    crm: CrmOption = None
    portal: PortalOption = None
    component: ComponentOption = None
    reason: ReasonOption = None
    since: SinceOption = None
    until: UntilOption = None
    call: CallOption = None

    def to_filter(self, settings: Settings, targets: list[str] | None = None, *, resolved: bool = False) -> Filter:
        """The filter that they mean; `targets`: calls and places that were named besides. Raises UserError."""
        check_crm(self.crm)
        if self.crm and self.component and self.crm != self.component:
            raise UserError(
                f"--crm {self.crm} and --component {self.component} exclude each other",
                "The component of a CRM's dead letters is the CRM: give one of the two.",
            )
        named = [*(targets or ()), *([self.call] if self.call else ())]
        return Filter(
            component=self.crm or self.component,
            portal=self.portal,
            reason=self.reason,
            since=moment(self.since, "--since"),
            until=moment(self.until, "--until"),
            calls=frozenset(each for text in named if not places_of(text) for each in call_ids(text, settings)),
            places=frozenset(place for text in named for place in places_of(text)),
            resolved=resolved,
        )
