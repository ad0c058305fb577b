"""The accounts at the CRMs: `portals:`, a list. What each CRM allows, its kind says (streams/crm/kind.py)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, PrivateAttr, SecretStr, model_validator

from streams.crm.kind import CrmKind
from streams.crm.registry import kind_of, registered
from streams.settings.recordings import template_fields
from streams.settings.routes import RouteSettings, check_route
from streams.settings.section import Section
from streams.settings.values import NumberAsText
from streams.settings.working_hours import ScheduleSettings

TASK_FIELDS = frozenset({"client", "did", "extension", "date", "time"})
"""What the text of a task may name, in braces."""


class RateLimit(Section):
    """A leaky bucket: `burst` requests at once, then `per_second`."""

    burst: int = Field(ge=1, le=100_000)
    per_second: float = Field(gt=0, le=100_000)


class OAuthSettings(Section):
    """The application, or integration, as which a portal lets the product in."""

    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    redirect_uri: str | None = None
    """As registered with the vendor; some want it in every token request."""
    token_endpoint: str | None = None
    """Where tokens are issued, if not where the vendor says (docs/crms.md)."""
    request_timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    """The time that a token request may take. A refresh whose worker died is taken over a third later than that."""


def _task_text(text: str) -> str:
    template_fields(text, TASK_FIELDS)
    if not text.strip() or not text.isprintable():
        raise ValueError("a task's text is one line of words")
    return text


class MissedCallTaskSettings(Section):
    """A task for each client whose call was missed, closed when the client is reached (streams/crm/shared/tasks.py)."""

    text: Annotated[str, Field(max_length=120), AfterValidator(_task_text)] = "Missed call from {client} at {time}"
    """Template of what the task says."""
    due_minutes: float = Field(default=60.0, gt=0, le=365 * 24 * 60)
    """The task is due so long after the call's end."""
    working_hours: bool = False
    """Count `due_minutes` within the working hours of the portal's schedule only."""
    user: str | None = None
    """CRM user id of whose the tasks are. None: whom the missed call is given to."""
    max_age_hours: float = Field(default=24.0, gt=0, le=365 * 24)
    """A missed call that is older when it comes (an outage, a backfill) gets no task."""
    result: Annotated[str, Field(min_length=1, max_length=200)] = "The client was reached"
    """What a task that is closed has as its result, where the CRM shows one."""


def _known_crm(name: str) -> str:
    if name not in registered().names:
        raise ValueError(f"there is no CRM {name!r}; known: {', '.join(registered().names)}")
    return name


class PortalSettings(Section):
    """One account at one CRM."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    crm: Annotated[str, AfterValidator(_known_crm)]
    """One of the CRMs that are built in, or that a package brings (streams/crm/registry.py)."""
    url: str | None = None
    """Address of the portal. One that is a secret (an incoming webhook): `webhook_url_file` or the environment."""
    webhook_url: SecretStr | None = None
    webhook_url_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    oauth: OAuthSettings | None = None
    """Instead of a webhook or a token; then run `cel2crm portal authorise NAME` once."""
    secret: SecretStr | None = None
    secret_file: Path | None = None
    """Webhook: what signs, `whsec_` and base64; a file may hold several lines, which all sign (rotation)."""
    allow_private: bool = False
    """Webhook: http and addresses that are not public are allowed."""
    pbxs: tuple[str, ...] = ()
    """PBXs whose calls this portal gets; empty: all."""
    deliver_from: AwareDatetime | None = None
    """Calls that ended before are skipped. Default: when the worker first served this portal (in the log)."""
    deliver_backfill: bool = False
    """Deliver backfilled calls like live ones. Default: they are skipped, and an operator may order them."""
    deliver_internal: bool = False
    deliver_unknown: bool = False
    on_revision: str = "keep"
    """A version that comes after delivery. note: told beside the call; update: in its place, unless a person changed
    what the CRM shows. Each CRM allows some of them (CrmKind.revisions)."""
    default_user: NumberAsText | None = None
    """CRM user id for calls whose extension has none."""
    users: dict[NumberAsText, NumberAsText] = Field(default_factory=dict)
    """Extension: CRM user id."""
    users_by: str = "id"
    """inner_phone, where the CRM can: extensions that `users` does not name are looked up by the portal itself."""
    missed_call_user: Literal["responsible", "last_rung", "route", "default"] = "last_rung"
    """responsible: who is responsible for the client in the CRM, else who rang last; route: the user of the route's
    line, else who rang last. Where that is nobody: the user of the route's line, else `default_user`."""
    route: tuple[RouteSettings, ...] = ()
    """Whose the calls are that nobody else has, and where they go in the CRM: the first line that fits decides."""
    schedule: str | None = None
    """The schedule of `working_hours` that counts here; None: the only one there is."""
    unknown_number: str | None = None
    """The way with a number that the CRM does not know; None: the first of CrmKind.unknown_number."""
    bitrix24_batch: Literal["auto", "always", "never"] = "auto"
    """auto: register and finish in one request when many calls wait, as after an outage."""
    rate_limit: RateLimit | None = None
    parallel: int = Field(default=8, ge=1, le=100)
    request_timeout_seconds: float = Field(default=60.0, gt=0, le=600)
    settle_seconds: float = Field(default=30.0, ge=0, le=24 * 3600)
    """A lookup that finds nothing is believed when repeated over this time: CRMs index late."""
    deadline_hours: float = Field(default=72.0, gt=0, le=100 * 366 * 24)
    recordings: bool = True
    """Tell it of calls' recordings, where the settings have any."""
    missed_call_task: MissedCallTaskSettings | None = None
    """Make tasks for missed calls. None: none."""
    trial: bool = False
    """An account that nobody works with: `cel2crm portal probe` may make test calls there."""
    shadow: bool = False
    """Record what would be sent, and send nothing: for a trial beside an old connector."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings that only this CRM knows; a CRM that has none refuses them.

    Never a secret: that is what `token_file` is for.
    """
    _schedules: Mapping[str, ScheduleSettings] = PrivateAttr(default_factory=dict)
    """`working_hours` of the settings (`with_schedules`)."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_crm(cls, tree: Any) -> Any:
        kind = registered().kinds.get(str(tree.get("crm"))) if isinstance(tree, dict) else None
        return tree if kind is None else {**kind.defaults, **tree}

    @model_validator(mode="after")
    def _fits_the_crm(self) -> Self:
        """A value that this CRM cannot follow must not be silently without effect."""
        if self.crm in registered().unusable:
            return self  # its own worker says so; the others have to go on
        kind = self.kind
        for setting, value, allowed in (
            ("unknown_number", self.unknown_number, kind.unknown_number),
            ("on_revision", self.on_revision, kind.revisions),
            ("users_by", self.users_by, kind.users_by),
        ):
            if value is not None and value not in allowed:
                raise ValueError(
                    f"portal {self.name}: {setting} cannot be {value!r} at {self.crm}; "
                    f"allowed: {', '.join(allowed) or 'nothing to set'}"
                )
        if self.missed_call_task is not None and not kind.tasks:
            raise ValueError(f"portal {self.name}: missed_call_task cannot be set at {self.crm}, which keeps no tasks")
        try:
            kind.check_options(self.options)
        except ValueError as error:
            raise ValueError(f"portal {self.name}: options: {error}") from None
        self._check_route(kind)
        return self

    def _check_route(self, kind: CrmKind) -> None:
        """Raises ValueError for a line of the route that this CRM cannot follow."""
        if self.route and not kind.has_users:
            raise ValueError(f"portal {self.name}: route: at {self.crm} calls belong to nobody: take it out")
        if self.missed_call_user == "route" and not any(line.user for line in self.route):
            raise ValueError(f"portal {self.name}: missed_call_user: route needs a line of route that gives a user")
        try:
            check_route(self.route, kind.route_options)
        except ValueError as error:
            raise ValueError(f"portal {self.name}: {error}") from None
        for number, line in enumerate(self.route, 1):
            try:
                kind.check_options({**self.options, **line.options})
            except ValueError as error:
                raise ValueError(f"portal {self.name}: route: line {number}: {error}") from None

    def with_schedules(self, schedules: Mapping[str, ScheduleSettings]) -> "PortalSettings":
        """The same portal with the schedules of `working_hours`. Raises ValueError: it names one that is not there."""
        portal = self.model_copy()
        portal._schedules = schedules
        if self.schedule is not None:
            portal.schedule_named(None, "schedule")
        if self.missed_call_task is not None and self.missed_call_task.working_hours:
            portal.schedule_named(None, "missed_call_task.working_hours")
        for number, line in enumerate(self.route, 1):
            if line.hours is not None:
                portal.schedule_named(line.schedule, f"route: line {number}")
        return portal

    def schedule_named(self, name: str | None, where: str = "schedule") -> ScheduleSettings:
        """A schedule by its name; None: the portal's own, else the only one there is.

        Raises ValueError that names `where`, and the schedules that there are.
        """
        wanted = name or self.schedule
        if wanted is None and len(self._schedules) == 1:
            return next(iter(self._schedules.values()))
        if wanted is not None and wanted in self._schedules:
            return self._schedules[wanted]
        known = ", ".join(self._schedules) or "none"
        what = f"there is no schedule {wanted!r}" if wanted else "it does not say which schedule: set schedule"
        raise ValueError(f"portal {self.name}: {where}: {what}; those of working_hours: {known}")

    @property
    def kind(self) -> CrmKind:
        """The kind of its CRM. Raises UserError where that is a plugin that cannot be used."""
        return kind_of(self.crm)

    @property
    def for_unknown_number(self) -> str:
        """The way with a number that the CRM does not know; empty where numbers do not matter to it."""
        return self.unknown_number or next(iter(self.kind.unknown_number), "")

    @property
    def rate(self) -> RateLimit:
        """The requests that it takes: as set, or as its CRM has it."""
        rate = self.kind.rate
        return self.rate_limit or RateLimit(burst=rate.burst, per_second=rate.per_second)

    @property
    def batch(self) -> str:
        """When to take several steps in one request, where the CRM's plan can: auto, always or never."""
        return str(getattr(self, self.kind.batch_setting)) if self.kind.batch_setting else "auto"


def named_apart(portals: tuple[PortalSettings, ...]) -> tuple[PortalSettings, ...]:
    """Refuse two portals of one name, at different CRMs too: commands take a portal by its name alone."""
    crms: dict[str, str] = {}
    for portal in portals:
        if portal.name in crms:
            raise ValueError(
                f"two portals are named {portal.name}, at {crms[portal.name]} and at {portal.crm}; give each a name of "
                "its own, for `cel2crm portal` and `deliveries` take NAME"
            )
        crms[portal.name] = portal.crm
    return portals
