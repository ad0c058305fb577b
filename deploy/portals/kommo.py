"""A fake Kommo (amoCRM) account: authorisation, limits, error bodies, calls, notes, contacts, incoming leads of type
sip."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from deploy.portals import kommo_notes, kommo_people
from deploy.portals.entry import Entry
from deploy.portals.exchange import Answer, Inbound, php_params
from deploy.portals.faults import Fault
from deploy.portals.journal import Event
from deploy.portals.kommo_calls import ACCOUNT_ID, NOT_FOUND, NoteBook
from deploy.portals.kommo_requests import (
    ERRORS,
    OPERATIONS,
    problem,
    read_json,
    request_id,
    validation_errors,
)
from deploy.portals.limits import RequestsPerSecond
from deploy.portals.server import Portal, PortalConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KommoConfig(PortalConfig):
    """Settings of the fake Kommo.

    `strict_contacts` True refuses calls of phones that no contact has (error 263), else the contact is made
    silently. More than `requests_per_second` (0: no limit) are answered 429, and after `flood` such answers within
    10 s all 403 for `ban` seconds.
    """

    long_lived_token: str = "fake-long-lived-token"
    client_id: str = "fake-integration-id"
    client_secret: str = "fake-client-secret"
    access_token: str = "fake-access-token"
    refresh_token: str = "fake-refresh-token"
    access_lifetime: float = 86400.0
    refresh_lifetime: float = 90 * 86400.0
    code_lifetime: float = 1200.0
    strict_contacts: bool = False
    requests_per_second: int = 7
    flood: int = 50
    ban: float = 60.0


class KommoPortal(Portal):
    """The fake Kommo."""

    name: ClassVar[str] = "kommo"
    title: ClassVar[str] = "Kommo"
    live_settings: ClassVar[frozenset[str]] = frozenset(
        {
            "lookup_lag",
            "access_lifetime",
            "code_lifetime",
            "strict_contacts",
            "requests_per_second",
            "flood",
            "ban",
        }
    )

    def __init__(self, config: KommoConfig | None = None) -> None:
        super().__init__(config or KommoConfig())
        self.book = NoteBook(self.record, self._config.users)
        self._limit = RequestsPerSecond()

    @property
    def config(self) -> KommoConfig:
        """The settings in force."""
        assert isinstance(self._config, KommoConfig)
        return self._config

    def operation(self, method: str, path: str) -> str | None:
        """calls, notes (add_, edit_), contacts, leads, unsorted, users, account, token; `unknown` for others."""
        path = path.rstrip("/")
        known = OPERATIONS.get((method, path)) or kommo_notes.operation(method, path)
        return known or ("unknown" if path.startswith(("/api/v4", "/oauth2")) else None)

    def answer(self, inbound: Inbound) -> Answer:
        """Do what is asked."""
        config, now = self.config, self.now()
        admitted = self._limit.admit(now, per_second=config.requests_per_second, flood=config.flood, ban=config.ban)
        if admitted != 200:
            return problem(
                admitted, "Too many requests" if admitted == 429 else "The address is blocked because of flooding"
            )
        if inbound.operation == "token":
            return self._token(inbound)
        if not self._authorised(inbound):
            return problem(401, "Unauthorized")
        try:
            return self._serve_authorised(inbound)
        except (ValueError, TypeError, AttributeError) as error:  # nonsense in a query or in an unchecked field
            return problem(400, f"Request validation failed: {error}")

    def _serve_authorised(self, inbound: Inbound) -> Answer:
        match inbound.operation:
            case "calls":
                return self._add_calls(inbound)
            case "notes":
                return kommo_notes.find(self, inbound)
            case "add_notes":
                return kommo_notes.add(self, inbound)
            case "edit_notes":
                return kommo_notes.edit(self, inbound)
            case "contacts":
                add = inbound.method == "POST"
                return kommo_people.add_contacts(self, inbound) if add else kommo_people.find_contacts(self, inbound)
            case "leads":
                return kommo_people.add_leads(self, inbound)
            case "unsorted":
                add = inbound.method == "POST"
                return kommo_people.add_unsorted(self, inbound) if add else kommo_people.list_unsorted(self, inbound)
            case "users":
                return self._users()
            case "account":
                names = {"name": "cel2crm", "subdomain": "cel2crm"}
                return Answer(200, {"id": ACCOUNT_ID, **names, "current_user_id": self.config.users[0].id})
        return problem(404, f"Cannot {inbound.method} {inbound.path}")

    def _authorised(self, inbound: Inbound) -> bool:
        token = inbound.bearer()
        if token is None:
            return False
        return token == self.config.long_lived_token or self.tokens.standing(token, self.now()) == "valid"

    def _add_calls(self, inbound: Inbound) -> Answer:
        items = read_json(inbound)
        if not isinstance(items, list) or not items:
            return problem(400, "Request validation failed: an array of calls is expected")
        wrong = [(request_id(item, at), validation_errors(item, self.config.users)) for at, item in enumerate(items)]
        refused = [{"request_id": name, "errors": errors} for name, errors in wrong if errors]
        if refused:
            return problem(400, "Request validation failed", **{"validation-errors": refused})
        added: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for at, item in enumerate(items):
            contact = self._contact(item["phone"])
            if contact is None:
                errors.append({**NOT_FOUND, "request_id": request_id(item, at)})
                continue
            note = self.book.add_call(item, contact, self.now())
            ids = {"id": note["id"], "entity_id": contact, "entity_type": "contact", "account_id": ACCOUNT_ID}
            added.append({**ids, "request_id": request_id(item, at)})
        body = {"_total_items": len(added), "errors": errors, "_embedded": {"calls": added}}
        return Answer(200 if added else 400, body)

    def _contact(self, phone: str) -> int | None:
        known = self.book.contact_for(phone)
        if known is None and not self.config.strict_contacts:
            return self.book.add_contact(phone, [phone], self.now())
        return known

    def _users(self) -> Answer:
        people = [
            {"id": user.id, "name": user.name, "rights": {"is_active": user.active}} for user in self.config.users
        ]
        return Answer(200, {"_total_items": len(people), "_page": 1, "_page_count": 1, "_embedded": {"users": people}})

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

    def first_tokens(self) -> None:
        """Grant the configured pair."""
        config, now = self.config, self.now()
        self.tokens.grant(
            config.access_token, config.refresh_token, now + config.access_lifetime, now + config.refresh_lifetime
        )

    def apply(self, kind: str, event: Event) -> None:
        """Take over one recorded change."""
        self.book.apply(kind, event)

    def forget(self) -> None:
        """Forget contacts, notes and what the limit counted."""
        self.book, self._limit = NoteBook(self.record, self.config.users), RequestsPerSecond()

    def entries(self) -> list[Entry]:
        """Calls with a note."""
        return self.book.entries()

    def orphans(self) -> list[dict[str, Any]]:
        """Kommo has no call that is begun and not finished."""
        return []

    def popups(self) -> list[dict[str, Any]]:
        """Kommo opens no card for a call that is added."""
        return []
