"""A fake Bitrix24 portal: authorisation, limits and the telephony methods of the REST interface."""

from __future__ import annotations

from typing import Any, ClassVar

from deploy.fake_crms.bitrix24 import users
from deploy.fake_crms.bitrix24.activities import METHODS as ACTIVITY_METHODS
from deploy.fake_crms.bitrix24.activities import ActivityStore
from deploy.fake_crms.bitrix24.batch import run_batch
from deploy.fake_crms.bitrix24.call_methods import call_method
from deploy.fake_crms.bitrix24.calls import CallStore
from deploy.fake_crms.bitrix24.config import Bitrix24Config
from deploy.fake_crms.bitrix24.crm import CrmStore
from deploy.fake_crms.bitrix24.crm_methods import CRM_METHODS, crm_method
from deploy.fake_crms.bitrix24.fields import TelephonyError
from deploy.fake_crms.bitrix24.limits import LeakyBucket, OperatingTime
from deploy.fake_crms.bitrix24.lines import LineStore
from deploy.fake_crms.bitrix24.oauth import answer_token_request
from deploy.fake_crms.bitrix24.rest import APPLICATION, ERRORS, TOKEN_PATH, WEBHOOK, RestError, read_params, upper
from deploy.fake_crms.bitrix24.statistics import search
from deploy.fake_crms.entry import Entry, iso_utc
from deploy.fake_crms.exchange import Answer, Inbound
from deploy.fake_crms.faults import Fault
from deploy.fake_crms.journal import Event
from deploy.fake_crms.server import PortalServer

APPLICATION_ONLY = ("telephony.externalcall.", "telephony.externalline.")
"""Methods that "work only in the context of an application" by their pages, by their beginnings; the search for clients
says nothing of the kind."""
SCOPE_OF = {"telephony": "telephony", "voximplant": "telephony", "user": "user", "crm": "crm"}


class Bitrix24Portal(PortalServer):
    """A fake Bitrix24 portal, with the REST methods that a telephony integration uses."""

    name: ClassVar[str] = "bitrix24"
    title: ClassVar[str] = "Bitrix24"
    registers: ClassVar[bool] = True
    live_settings: ClassVar[frozenset[str]] = frozenset(
        {
            "lookup_lag",
            "access_lifetime",
            "code_lifetime",
            "scopes",
            "webhook_allowed",
            "authorisation_server",
            "other_server_knows",
            "window_from",
            "unknown_inner",
            "statistics_of",
            "owner_is_admin",
            "knows_external_id",
            "time_in_429",
            "blank_errors",
            "lead_creation_error",
            "recording_status",
            "private_recordings",
            "bucket_size",
            "drain_per_second",
            "operating_cost",
            "operating_limit",
        }
    )

    def __init__(self, config: Bitrix24Config | None = None) -> None:
        super().__init__(config or Bitrix24Config())
        self.crm = CrmStore(self.record, self._config.users)
        self.calls = CallStore(self.record, self._config.users, self.crm)
        self.activities = ActivityStore(self.record, self._config.users, self.crm)
        self.lines = LineStore(self.record)
        self._bucket = LeakyBucket()
        self._operating = OperatingTime()

    @property
    def config(self) -> Bitrix24Config:
        """The settings in force."""
        assert isinstance(self._config, Bitrix24Config)
        return self._config

    @property
    def webhook_url(self) -> str:
        """The incoming webhook's address, with its secret and a slash at the end."""
        return f"{self.url}/rest/{self.config.webhook_user}/{self.config.webhook_secret}/"

    def operation(self, method: str, path: str) -> str | None:
        """The REST method, or `token`."""
        if path.rstrip("/") == TOKEN_PATH.rstrip("/"):
            return "token"
        match = WEBHOOK.match(path) or APPLICATION.match(path)
        return match["method"].lower() if match else None

    def answer(self, inbound: Inbound) -> Answer:
        """Carry out a request. Every answer of the REST interface has the `time` block."""
        if inbound.operation == "token":
            return answer_token_request(inbound, self.config, self.tokens, self.now(), f"{self.url}/rest/")
        if not inbound.operation:
            return Answer(404, {"error": "NOT_FOUND", "error_description": "Could not find the page"})
        start, config = self.now(), self.config
        try:
            if not self._bucket.admit(inbound.remote, start, size=config.bucket_size, drain=config.drain_per_second):
                raise RestError("503")
            params = read_params(inbound)
            webhook = self._authorise(inbound, params)
            self._work(inbound.operation, start)
            if inbound.operation == "batch":
                body: dict[str, Any] = {
                    "result": run_batch(params, lambda name, inner: self._in_batch(name, inner, inbound, webhook))
                }
            else:
                body = self._call(inbound.operation, params, webhook=webhook)
        except RestError as error:
            return self._rest_refusal(error.mode, inbound)
        except TelephonyError as error:
            return self._refusal(400, error.code, str(error), inbound)
        except (ValueError, TypeError, AttributeError) as error:  # nonsense in an unchecked parameter
            return self._refusal(400, "INVALID_ARGUMENT", str(error), inbound)
        return Answer(200, {**body, "time": self._time(inbound.operation, start)})

    def _work(self, method: str, now: float) -> None:
        """Count a method's seconds of work. Raises RestError above its limit: that method alone is blocked."""
        self._operating.spend(method, now, self.config.operating_cost)
        if self._operating.used(method, now) > self.config.operating_limit:
            raise RestError("429")

    def _in_batch(self, name: str, params: dict[str, Any], inbound: Inbound, webhook: bool) -> dict[str, Any]:
        """One command of a batch: its answer, or `error` and `error_description`."""
        name = name.lower()
        fault = self.faults.pick_inside_batch(name)
        try:
            if fault is not None:
                raise RestError(fault.mode)
            self._work(name, self.now())
            return {**self._call(name, upper(params), webhook=webhook), "time": self._time(name, self.now())}
        except RestError as error:
            _, code, words = ERRORS[error.mode]
            code = fault.code if fault is not None and fault.code is not None else code
        except TelephonyError as error:
            code, words = error.code, str(error)
        except (ValueError, TypeError, AttributeError) as error:
            code, words = "INVALID_ARGUMENT", str(error)
        return {"error": "" if self.config.blank_errors else code, "error_description": words}

    def _call(self, name: str, params: dict[str, Any], *, webhook: bool) -> dict[str, Any]:
        self._check_access(name, webhook=webhook)
        if name in CRM_METHODS:
            return crm_method(name, params, self.crm, self.calls, self.config, self.now())
        if name in ACTIVITY_METHODS:
            now = self.now()
            owner, indexed = self.config.webhook_user, now - self.config.lookup_lag
            return self.activities.call(name, params, now, owner, indexed)
        if name.startswith("telephony.externalcall."):
            return {"result": call_method(name, params, self.calls, self.config, self.now(), self.url)}
        match name:
            case "telephony.externalline.add" | "telephony.externalline.update" | "telephony.externalline.get":
                return {"result": self.lines.call(name.rpartition(".")[2], params)}
            case "voximplant.statistic.get":
                return self._statistics(params)
            case "user.get" | "user.search":
                return users.listed(self.config, params)
            case "user.current":
                return {"result": users.person(self.config, self.config.webhook_user)}
            case "profile":
                return {
                    "result": {
                        **users.person(self.config, self.config.webhook_user),
                        "ADMIN": self.config.owner_is_admin,
                    }
                }
            case "scope":
                return {"result": list(self.config.scopes)}
            case "server.time":
                return {"result": iso_utc(self.now())}
        raise RestError("404")

    def _check_access(self, name: str, *, webhook: bool) -> None:
        scope = SCOPE_OF.get(name.partition(".")[0])
        if scope is not None and scope not in self.config.scopes:
            raise RestError("insufficient_scope")
        only = name.startswith(APPLICATION_ONLY) and name not in CRM_METHODS
        if webhook and only and not self.config.webhook_allowed:
            raise RestError("wrong_auth_type")

    def _statistics(self, params: dict[str, Any]) -> dict[str, Any]:
        """The calls that the owner of the webhook or application may see: without a right at all a refusal, with the
        right to own calls no word of the others (as the product's source has it)."""
        config = self.config
        if config.statistics_of == "none":
            raise RestError("access_denied")
        conditions = params.get("FILTER")
        if not config.knows_external_id and isinstance(conditions, dict):
            conditions = {key: wanted for key, wanted in conditions.items() if "EXTERNAL_CALL_ID" not in key}
        indexed = self.now() - config.lookup_lag
        owner = config.webhook_user if config.statistics_of == "own" else None
        records = [
            self.calls.statistics_record(event)
            for event in self.calls.candidates(conditions)
            if event["at"] <= indexed and owner in (None, event["user_id"])
        ]
        return search(records, {**params, "FILTER": conditions})

    def _authorise(self, inbound: Inbound, params: dict[str, Any]) -> bool:
        """Whether the request came by the incoming webhook (otherwise by an access token). Raises RestError."""
        webhook = WEBHOOK.match(inbound.path)
        if webhook:
            if (int(webhook["user"]), webhook["secret"]) != (self.config.webhook_user, self.config.webhook_secret):
                raise RestError("invalid_credentials")
            return True
        token = params.get("AUTH") or params.get("ACCESS_TOKEN") or inbound.bearer()
        status = self.tokens.access_status(str(token), self.now())
        if status != "valid":
            raise RestError("expired_token" if status == "expired" else "no_auth")
        return False

    def _time(self, method: str, start: float) -> dict[str, Any]:
        finish = max(self.now(), start)
        return {
            "start": start,
            "finish": finish,
            "duration": finish - start,
            "processing": finish - start,
            "date_start": iso_utc(start),
            "date_finish": iso_utc(finish),
            "operating_reset_at": self._operating.reset_at(method, start),
            "operating": self._operating.used(method, start),
        }

    def _refusal(self, status: int, code: str, words: str, inbound: Inbound) -> Answer:
        body = {"error": "" if self.config.blank_errors else code, "error_description": words}
        return Answer(status, {**body, "time": self._time(inbound.operation, self.now())})

    def _rest_refusal(self, mode: str, inbound: Inbound, code: str | None = None) -> Answer:
        status, known, words = ERRORS[mode]
        answer = self._refusal(status, known if code is None else code, words, inbound)
        if mode == "429" and not self.config.time_in_429:
            del answer.body["time"]  # the time is to be taken from the last answer of success
        return answer

    def vendor_error(self, mode: str, inbound: Inbound, fault: Fault) -> Answer:
        """The documented error body of a fault mode; 429 says when it ends in `time.operating_reset_at`, where it has
        that."""
        answer = self._rest_refusal(mode, inbound, fault.code)
        if mode == "429" and fault.retry_after is not None and "time" in answer.body:
            answer.body["time"]["operating_reset_at"] = int(self.now() + fault.retry_after) + 1
        return answer

    # State.

    def grant_configured_tokens(self) -> None:
        """Grant the configured pair."""
        config, now = self.config, self.now()
        ends = now + config.access_lifetime, now + config.refresh_lifetime
        self.tokens.grant(config.access_token, config.refresh_token, *ends)

    def apply(self, kind: str, event: Event) -> None:
        """Apply one recorded change."""
        if not any(store.apply(kind, event) for store in (self.crm, self.activities, self.lines)):
            self.calls.apply(kind, event)

    def forget(self) -> None:
        """Forget all calls and what the limits counted."""
        self.crm = CrmStore(self.record, self.config.users)
        self.calls = CallStore(self.record, self.config.users, self.crm)
        self.activities = ActivityStore(self.record, self.config.users, self.crm)
        self.lines = LineStore(self.record)
        self._bucket, self._operating = LeakyBucket(), OperatingTime()

    def entries(self) -> list[Entry]:
        """Finished calls."""
        return self.calls.entries()

    def orphans(self) -> list[dict[str, Any]]:
        """Calls that were registered and never finished."""
        return self.calls.orphans()

    def tasks(self) -> list[dict[str, Any]]:
        """The universal activities."""
        return self.activities.shown()

    def popups(self) -> list[dict[str, Any]]:
        """Call cards that opened (SHOW=1)."""
        return list(self.calls.popups)
