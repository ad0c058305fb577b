"""A fake receiver of Standard Webhooks that does what one should: it verifies signatures with the published library and
accepts each id once."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

from standardwebhooks import Webhook, WebhookVerificationError

from deploy.fake_crms.entry import Entry, Tone, iso_utc
from deploy.fake_crms.exchange import Answer, Inbound
from deploy.fake_crms.faults import Fault
from deploy.fake_crms.journal import Event
from deploy.fake_crms.portal import PortalConfig
from deploy.fake_crms.server import PortalServer

FAKE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATH = "/calls"

FINISHED, RECORDING = EVENTS = ("call.finished", "call.recording")
"""The events that it takes."""

_STATUSES = {
    "no_auth": 401,
    "expired_token": 401,
    "invalid_credentials": 401,
    "insufficient_scope": 403,
    "wrong_auth_type": 403,
    "access_denied": 403,
    "user_access_error": 403,
    "authorization_error": 401,
    "overload": 503,
    "payment_required": 402,
    "portal_deleted": 410,
}
"""The HTTP status of each fault mode that is not itself a number."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig(PortalConfig):
    """Settings of the fake receiver. `secrets`: what signatures are verified with; one that fits is enough."""

    secrets: tuple[str, ...] = (FAKE_SECRET,)


class WebhookPortal(PortalServer):
    """A receiver that keeps the calls posted to it."""

    name: ClassVar[str] = "webhook"
    title: ClassVar[str] = "Webhook"
    live_settings: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: WebhookConfig | None = None) -> None:
        super().__init__(config or WebhookConfig())
        self.messages: dict[str, Event] = {}
        """The accepted messages by `webhook-id`, in the order of their arrival."""

    @property
    def config(self) -> WebhookConfig:
        """The settings in force."""
        assert isinstance(self._config, WebhookConfig)
        return self._config

    @property
    def webhook_url(self) -> str:
        """The address that calls are to be posted to."""
        return f"{self.url}{PATH}"

    def operation(self, method: str, path: str) -> str | None:
        """`post`, or `unknown` for everything else."""
        return "post" if (method, path) == ("POST", PATH) else "unknown"

    def answer(self, inbound: Inbound) -> Answer:
        """Verify the signature and accept each id once: what comes again is answered as the first time."""
        if inbound.operation != "post":
            return Answer(404, {"error": f"no receiver at {inbound.path}"})
        if not any(self._verified(secret, inbound) for secret in self.config.secrets):
            return Answer(401, {"error": "the signature does not fit"})
        try:
            body = json.loads(inbound.body)
            known = body["type"] in EVENTS and body["schema_version"] == 1 and body["data"]["call_id"]
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            return Answer(422, {"error": "neither call.finished nor call.recording of schema version 1"})
        message = inbound.headers["webhook-id"]
        if message not in self.messages:
            self.record("webhook", {"id": message, "at": self.now(), "body": body})
        return Answer(200, {"taken": message})

    @staticmethod
    def _verified(secret: str, inbound: Inbound) -> bool:
        try:
            Webhook(secret).verify(inbound.body, dict(inbound.headers), json_parse=False)
        except WebhookVerificationError:
            return False
        return True

    def vendor_error(self, mode: str, inbound: Inbound, fault: Fault) -> Answer:
        """The status of a fault mode."""
        return Answer(_STATUSES[mode] if mode in _STATUSES else int(mode), {"error": mode})

    # State.

    def grant_configured_tokens(self) -> None:
        """Do nothing: a receiver of webhooks has no tokens."""

    def apply(self, kind: str, event: Event) -> None:
        """Apply one recorded change."""
        if kind == "webhook":
            self.messages[event["id"]] = event

    def forget(self) -> None:
        """Forget the calls."""
        self.messages = {}

    def entries(self) -> list[Entry]:
        """The calls of the accepted messages."""
        finished = [event for event in self.messages.values() if event["body"]["type"] == FINISHED]
        recordings = {
            event["body"]["data"]["call_id"]: event["body"]["data"]["recording_url"]
            for event in self.messages.values()
            if event["body"]["type"] == RECORDING
        }
        return [
            dataclasses.replace(self._entry(number, event), recording=recordings.get(event["body"]["data"]["call_id"]))
            for number, event in enumerate(finished, 1)
        ]

    def _entry(self, number: int, event: Event) -> Entry:
        call = event["body"]["data"]
        missed = call["direction"] == "incoming" and not call["answered"]
        tone: Tone = "good" if call["answered"] else "missed" if missed else "failed"
        extension = call["extension"] or ""
        user = next((user for user in self.config.users if user.inner == extension and extension), None)
        return Entry(
            number=number,
            crm_id=event["id"],
            external_id=call["call_id"],
            phone=call["client"] or call["called"] or "",
            direction=call["direction"],
            user_id=user.id if user else 0,
            user=user.name if user else extension or "nobody",
            duration=round(call["talk_seconds"] or 0),
            started_at=call["started_at"],
            received_at=iso_utc(event["at"]),
            status=str(call["result"]),
            words=call["result_name"],
            tone=tone,
            successful=call["answered"],
            missed=missed,
            text=None,
            line=call["did"],
            via="webhook",
            popup=False,
        )

    def orphans(self) -> list[dict[str, Any]]:
        """Nothing: a receiver gets finished calls only."""
        return []

    def popups(self) -> list[dict[str, Any]]:
        """Nothing: a receiver opens no call cards."""
        return []
