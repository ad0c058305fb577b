"""The accounts at the CRMs: `portals:`, a list."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, SecretStr, model_validator

from streams.settings.section import Section


class RateLimit(Section):
    """A leaky bucket: `burst` requests at once, then `per_second`."""

    burst: int = Field(ge=1)
    per_second: float = Field(gt=0)


class OAuthSettings(Section):
    """The application (Bitrix24) or integration (Kommo) as which a portal lets the product in."""

    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    redirect_uri: str | None = None
    """As registered with the vendor; Kommo wants it in every token request."""
    token_endpoint: str | None = None
    """Where tokens are issued, if not where the vendor says. Default: https://oauth.bitrix.info/oauth/token/ for
    Bitrix24, /oauth2/access_token of the account for Kommo."""
    request_timeout_seconds: float = Field(default=30.0, gt=0)
    """What a token request may take. A refresh whose worker died is taken over a third later than that."""


UNKNOWN_NUMBER = {
    "bitrix24": ("nothing", "create_lead", "skip"),
    "kommo": ("create_contact", "create_lead", "unsorted", "retry", "skip"),
    "webhook": (),
}
"""What each CRM can do with a number that it does not know; the first is what it does unless told."""


_CRM_DEFAULTS: dict[str, dict[str, Any]] = {
    # A webhook is for machines: they want every call, and an answer within the time that the standard asks for.
    "webhook": {"deliver_internal": True, "deliver_unknown": True, "request_timeout_seconds": 15.0},
}
REVISIONS = {"bitrix24": ("keep", "note"), "kommo": ("keep", "note", "update"), "webhook": ("keep", "update")}
"""What each CRM can do about a version that comes after delivery (streams/delivery/plan.py: revisions)."""


class PortalSettings(Section):
    """One account at one CRM."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    crm: Literal["bitrix24", "kommo", "webhook"]
    url: str | None = None
    """Address of the portal. A secret one (Bitrix24's incoming webhooks): `webhook_url_file` or the environment."""
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
    on_revision: Literal["keep", "note", "update"] = "keep"
    """A version that comes after delivery. note: told beside the call; update: in its place, unless a person changed
    what the CRM shows."""
    default_user: str | None = None
    """CRM user id for calls whose extension has none."""
    users: dict[str, str] = Field(default_factory=dict)
    """Extension: CRM user id."""
    users_by: Literal["id", "inner_phone"] = "id"
    """inner_phone (Bitrix24): extensions that `users` does not name are looked up by the portal itself."""
    missed_call_user: Literal["responsible", "last_rung", "default"] = "last_rung"
    """responsible: who is responsible for the client in the CRM, else who rang last, else `default_user`."""
    unknown_number: Literal["nothing", "create_contact", "create_lead", "unsorted", "retry", "skip"] | None = None
    """What to do about a number that the CRM does not know; None: the first of the CRM's UNKNOWN_NUMBER."""
    bitrix24_batch: Literal["auto", "always", "never"] = "auto"
    """auto: register and finish in one request when many calls wait, as after an outage."""
    rate_limit: RateLimit | None = None
    parallel: int = Field(default=8, ge=1, le=100)
    request_timeout_seconds: float = Field(default=60.0, gt=0)
    settle_seconds: float = Field(default=30.0, ge=0)
    """A lookup that finds nothing is believed when repeated over this time: CRMs index late."""
    deadline_hours: float = Field(default=72.0, gt=0)
    shadow: bool = False
    """Record what would be sent, and send nothing: for a trial beside an old connector."""

    @model_validator(mode="after")
    def _fits_the_crm(self) -> Self:
        """A value that this CRM cannot follow must not be silently without effect."""
        allowed = UNKNOWN_NUMBER[self.crm]
        if self.unknown_number is not None and self.unknown_number not in allowed:
            raise ValueError(
                f"portal {self.name}: unknown_number cannot be {self.unknown_number!r} at {self.crm}; "
                f"allowed: {', '.join(allowed) or 'nothing to set'}"
            )
        if self.on_revision not in REVISIONS[self.crm]:
            raise ValueError(
                f"portal {self.name}: on_revision cannot be {self.on_revision!r} at {self.crm}; "
                f"allowed: {', '.join(REVISIONS[self.crm])}"
            )
        if self.users_by == "inner_phone" and self.crm != "bitrix24":
            raise ValueError(
                f"portal {self.name}: users_by: inner_phone is Bitrix24's; {self.crm} knows no inner phones"
            )
        return self

    @property
    def for_unknown_number(self) -> str:
        """What to do about a number that the CRM does not know."""
        return self.unknown_number or UNKNOWN_NUMBER[self.crm][0]

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_crm(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        return {**_CRM_DEFAULTS.get(str(tree.get("crm")), {}), **tree}
