"""A webhook receiver over HTTP, signed as Standard Webhooks has it."""

from datetime import UTC, datetime
from hashlib import blake2b

from standardwebhooks import Webhook
from yarl import URL

from streams.calls.result import CallResult
from streams.clock import BootSeconds, boot_seconds, utc_now_us
from streams.crm.shared.client import Pace, Request, unpaced
from streams.crm.shared.recording import RECORDING
from streams.crm.webhook.plan import PLAN
from streams.crm.webhook.recording import recording_body, recording_message_id, without_request
from streams.crm.webhook.secrets import signing_secrets
from streams.crm.webhook.steps import MESSAGE_ID, answer_of, body_of, message_id
from streams.delivery.answers import Answer, LookupResult, NotFound
from streams.delivery.record import Delivery
from streams.errors import SettingsError
from streams.http.addresses import guarded, is_public
from streams.http.request import Ending, request, session
from streams.http.web_address import web_address
from streams.settings import PortalSettings, secret


class WebhookClient:
    """One receiver. Make it inside a running event loop."""

    plan = PLAN

    def __init__(self, portal: PortalSettings) -> None:
        """Raises SettingsError where the receiver's address or the secret is missing or of no use."""
        self.pace: Pace = unpaced
        self._url = _address(portal)
        self._limit_seconds = portal.request_timeout_seconds
        secrets = signing_secrets(portal)
        self._signers = [Webhook(each) for each in secrets]
        self._http = session(None if portal.allow_private else guarded(is_public))
        self.fingerprint = blake2b(str(self._url).encode(), key=secrets[0].encode()[:64], digest_size=16).hexdigest()
        """The fingerprint of address and secret: another one for another address or secret. It tells neither."""

    def request(self, delivery: Delivery, result: CallResult) -> Request:
        """The body, and the call's result as its status."""
        if delivery.step == RECORDING:
            return Request(recording_body(delivery, result))
        return Request(body_of(result), str(result.result), result.result_name)

    async def send(self, delivery: Delivery, until: BootSeconds) -> Answer:
        """POST the body of the open intent, under the id of its version, or that of the delivery before."""
        intent = delivery.intent
        if intent is None:
            raise ValueError(f"{delivery.call_id}: no open intent")
        # A delivered call that is ordered again begins anew (no steps done): whoever has it must take it as the same,
        # also when its result has a later version by now. A later version that `on_revision: update` sends is another.
        known = None if delivery.steps_done else delivery.crm_ids.get(MESSAGE_ID)
        message = known or message_id(delivery.call_id, intent.version, intent.correction)
        if intent.step == RECORDING:
            if (known_before := without_request(intent.sent)) is not None:
                return known_before
            message = recording_message_id(delivery.call_id)
        ending = await request(
            self._http,
            "POST",
            self._url,
            until=until,
            data=intent.sent.encode(),
            headers=self._signed(message, intent.sent),
            status_decides=True,
        )
        return answer_of(ending, message, utc_now_us())

    async def ask_options(self, until: BootSeconds) -> Ending:
        """Ask what the receiver takes: OPTIONS, which changes nothing."""
        ends = min(until, boot_seconds() + self._limit_seconds)
        return await request(self._http, "OPTIONS", self._url, until=ends, status_decides=True)

    async def look_up(self, delivery: Delivery, until: BootSeconds) -> LookupResult:
        """A receiver cannot be asked; its plan never wants to."""
        return NotFound()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _signed(self, message: str, body: str) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            MESSAGE_ID: message,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message, now, body) for signer in self._signers),
        }


def _address(portal: PortalSettings) -> URL:
    name = f"portals.{portal.name}.url"
    if portal.url:
        text = portal.url
    else:
        name = f"portals.{portal.name}.webhook_url"
        text = secret(portal.webhook_url, portal.webhook_url_file, name)
    url = web_address(text, name, "It begins with https:// (its value is not shown here).")
    if portal.allow_private:
        return url
    remedy = f"Where it is meant, for a receiver in your own network: portals.{portal.name}.allow_private: true."
    if url.scheme != "https":
        raise SettingsError(f"{name} is not https: calls and numbers would be readable on their way", remedy)
    host = url.host or ""
    if (_is_literal(host) and not is_public(host)) or host == "localhost":
        raise SettingsError(f"{name} is a private or reserved address", remedy)
    return url


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
