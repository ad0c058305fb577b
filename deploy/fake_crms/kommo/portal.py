"""A fake Kommo (amoCRM) account: authorisation, limits, error bodies, calls, notes, contacts, incoming leads of type
sip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from deploy.fake_crms.entry import Entry
from deploy.fake_crms.exchange import Answer, Inbound, php_params
from deploy.fake_crms.faults import Fault
from deploy.fake_crms.journal import Event
from deploy.fake_crms.kommo import account, calls, contacts, notes, tasks, unsorted
from deploy.fake_crms.kommo.config import KommoConfig
from deploy.fake_crms.kommo.limits import RequestsPerSecond
from deploy.fake_crms.kommo.requests import BLOCKED_PAGE, ERRORS, OPERATIONS, problem, read_json
from deploy.fake_crms.kommo.state import AccountStore, Request
from deploy.fake_crms.server import PortalServer

SERVED_WHOLE: dict[str, Callable[[Request], Answer]] = {
    "users": account.users,
    "pipelines": account.pipelines,
    "account": account.show,
    "tasks": tasks.serve,
    "add_tasks": tasks.serve,
    "edit_tasks": tasks.serve,
}
"""Operations that one function serves."""


class KommoPortal(PortalServer):
    """A fake Kommo account."""

    name: ClassVar[str] = "kommo"
    title: ClassVar[str] = "Kommo"
    live_settings: ClassVar[frozenset[str]] = frozenset(
        {
            "lookup_lag",
            "access_lifetime",
            "code_lifetime",
            "known_clients",
            "customers",
            "note_updated_at",
            "owner_is_admin",
            "others_as_maker",
            "card_shows",
            "unsorted_on",
            "task_rights",
            "requests_per_second",
            "flood",
            "ban",
        }
    )

    def __init__(self, config: KommoConfig | None = None) -> None:
        super().__init__(config or KommoConfig())
        self.account = AccountStore(self.record, self._config.users)
        self._limit = RequestsPerSecond()

    @property
    def config(self) -> KommoConfig:
        """The settings in force."""
        assert isinstance(self._config, KommoConfig)
        return self._config

    def operation(self, method: str, path: str) -> str | None:
        """One of calls, notes and tasks (add_, edit_), contacts, companies, leads, unsorted (accept_, decline_), users,
        pipelines, account, token; `unknown` for others."""
        path = path.rstrip("/")
        known = OPERATIONS.get((method, path)) or notes.operation(method, path) or tasks.operation(method, path)
        known = known or unsorted.operation(method, path)
        if known is None and path.rpartition("/")[2].isdigit():
            one = OPERATIONS.get((method, path.rpartition("/")[0]))
            known = one if one in ("users", "pipelines") else None
        return known or ("unknown" if path.startswith(("/api/v4", "/oauth2")) else None)

    def answer(self, inbound: Inbound) -> Answer:
        """Carry out a request and give its answer."""
        config, now = self.config, self.now()
        admitted = self._limit.admit(now, per_second=config.requests_per_second, flood=config.flood, ban=config.ban)
        if admitted == 429:
            return problem(429, "Too many requests")
        if admitted != 200:
            return Answer(403, BLOCKED_PAGE, "text/html")
        if inbound.operation == "token":
            return self._token(inbound)
        if not self._authorised(inbound):
            return problem(401, "Unauthorized")
        try:
            return self._serve_authorised(inbound)
        except (ValueError, TypeError, AttributeError) as error:  # nonsense in a query or in an unchecked field
            return problem(400, f"Request validation failed: {error}")

    def _serve_authorised(self, inbound: Inbound) -> Answer:
        request = Request(inbound, self.account, self.config, self.now, self.url)
        add = inbound.method == "POST"
        served = SERVED_WHOLE.get(inbound.operation)
        if served is not None:
            return served(request)
        match inbound.operation:
            case "calls":
                return calls.add(request)
            case "notes":
                return notes.find(request)
            case "add_notes":
                return notes.add(request)
            case "edit_notes":
                return notes.edit(request)
            case "contacts":
                return contacts.add_contacts(request) if add else contacts.find_contacts(request)
            case "companies":
                return contacts.find_companies(request)
            case "leads":
                return contacts.add_leads(request)
            case "unsorted":
                return unsorted.add(request) if add else unsorted.find(request)
            case "accept_unsorted" | "decline_unsorted":
                return unsorted.settle(request, accept=inbound.operation == "accept_unsorted")
        return problem(404, f"Cannot {inbound.method} {inbound.path}")

    def _authorised(self, inbound: Inbound) -> bool:
        token = inbound.bearer()
        if token is None:
            return False
        return token == self.config.long_lived_token or self.tokens.access_status(token, self.now()) == "valid"

    def _token(self, inbound: Inbound) -> Answer:
        """OAuth: grant types refresh_token and authorization_code; a refresh token is good once."""
        parsed = read_json(inbound)
        fields = parsed if isinstance(parsed, dict) else php_params(inbound.body.decode(errors="replace"))
        config, now = self.config, self.now()
        if (fields.get("client_id"), fields.get("client_secret")) != (config.client_id, config.client_secret):
            return problem(401, "Client authentication failed")
        lifetimes = (config.access_lifetime, config.refresh_lifetime)
        match fields.get("grant_type"):
            case "refresh_token":
                pair = self.tokens.rotate(str(fields.get("refresh_token")), now, *lifetimes)
            case "authorization_code":
                pair = self.tokens.redeem(str(fields.get("code")), now, *lifetimes)
            case _:
                return problem(400, "The authorization grant type is not supported by the authorization server.")
        if pair is None:
            # As seen by integrators (amocrm-api-php issue 123).
            code = fields.get("grant_type") == "authorization_code"
            hint = "Authorization code has been revoked" if code else "Token has been revoked"
            return problem(401, "The request is missing a required parameter or has an invalid one", hint=hint)
        issued = {"access_token": pair.access, "refresh_token": pair.refresh}
        return Answer(200, {"token_type": "Bearer", "expires_in": pair.expires_in, **issued})

    def vendor_error(self, mode: str, inbound: Inbound, fault: Fault) -> Answer:
        """The error body of a fault mode."""
        return problem(*ERRORS[mode])

    # State.

    def grant_configured_tokens(self) -> None:
        """Grant the configured pair."""
        config, now = self.config, self.now()
        self.tokens.grant(
            config.access_token, config.refresh_token, now + config.access_lifetime, now + config.refresh_lifetime
        )

    def apply(self, kind: str, event: Event) -> None:
        """Apply one recorded change."""
        self.account.apply(kind, event)

    def forget(self) -> None:
        """Forget contacts, notes and what the limit counted."""
        self.account, self._limit = AccountStore(self.record, self.config.users), RequestsPerSecond()

    def entries(self) -> list[Entry]:
        """The calls that left a note."""
        return self.account.entries()

    def orphans(self) -> list[dict[str, Any]]:
        """Kommo has no call that is begun and not finished."""
        return []

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks of all."""
        return self.account.tasks.shown()

    def popups(self) -> list[dict[str, Any]]:
        """Kommo opens no card for a call that is added."""
        return []
