"""A fake Bitrix24 portal: authorisation, limits, OAuth and the telephony methods of the REST interface."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar
from urllib.parse import parse_qs

from deploy.portals.bitrix24_batch import run_batch
from deploy.portals.bitrix24_calls import CallBook
from deploy.portals.bitrix24_crm import CrmBook
from deploy.portals.bitrix24_fields import TelephonyError
from deploy.portals.bitrix24_rest import APPLICATION, ERRORS, TOKEN_PATH, WEBHOOK, RestError, read_params, upper
from deploy.portals.bitrix24_statistics import search
from deploy.portals.entry import Entry, iso_utc
from deploy.portals.exchange import Answer, Inbound
from deploy.portals.faults import Fault
from deploy.portals.journal import Event
from deploy.portals.limits import LeakyBucket, OperatingTime
from deploy.portals.server import Portal, PortalConfig

APPLICATION_ONLY = frozenset({"telephony.externalcall.register", "telephony.externalcall.finish"})
CRM_METHODS = frozenset(
    {"telephony.externalcall.searchcrmentities", "crm.timeline.comment.add", "crm.timeline.comment.list"}
)
SCOPE_OF = {"telephony": "telephony", "voximplant": "telephony", "user": "user", "crm": "crm"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bitrix24Config(PortalConfig):
    """Settings of the fake Bitrix24.

    `bucket_size` requests, draining `drain_per_second` (0 requests: no limit); `operating_cost` seconds of work a
    request counts for, refused above `operating_limit` within ten minutes. `webhook_allowed` False refuses register
    and finish by webhook, as most installations do. `blank_errors` leaves `error` empty, as seen on live portals.
    Lifetimes in seconds.
    """

    webhook_user: int = 1
    webhook_secret: str = "d3m0w3bh00k"
    client_id: str = "local.5f0e.cel2crm"
    client_secret: str = "fake-client-secret"
    access_token: str = "fake-access-token"
    refresh_token: str = "fake-refresh-token"
    access_lifetime: float = 3600.0
    refresh_lifetime: float = 180 * 86400.0
    code_lifetime: float = 30.0
    scopes: tuple[str, ...] = ("telephony", "user", "crm")
    webhook_allowed: bool = True
    blank_errors: bool = False
    lead_creation_error: str = ""
    bucket_size: int = 50
    drain_per_second: float = 2.0
    operating_cost: float = 0.0
    operating_limit: float = 480.0


class Bitrix24Portal(Portal):
    """The fake Bitrix24."""

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
            "blank_errors",
            "lead_creation_error",
            "bucket_size",
            "drain_per_second",
            "operating_cost",
            "operating_limit",
        }
    )

    def __init__(self, config: Bitrix24Config | None = None) -> None:
        super().__init__(config or Bitrix24Config())
        self.crm = CrmBook(self.record, self._config.users)
        self.calls = CallBook(self.record, self._config.users, self.crm)
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
        """Do what is asked. Every answer of the REST interface has the `time` block."""
        if inbound.operation == "token":
            return self._token(inbound)
        if not inbound.operation:
            return Answer(404, {"error": "NOT_FOUND", "error_description": "Could not find the page"})
        start, config = self.now(), self.config
        try:
            if not self._bucket.admit(inbound.remote, start, size=config.bucket_size, drain=config.drain_per_second):
                raise RestError("503")
            params = read_params(inbound)
            webhook = self._authorise(inbound, params)
            self._operating.spend(inbound.operation, start, config.operating_cost)
            if self._operating.used(inbound.operation, start) > config.operating_limit:
                raise RestError("429")
            if inbound.operation == "batch":
                body: dict[str, Any] = {
                    "result": run_batch(params, lambda name, inner: self._in_batch(name, inner, inbound, webhook))
                }
            else:
                body = self._call(inbound.operation, params, webhook=webhook)
        except RestError as error:
            return self._refusal(*ERRORS[error.mode], inbound)
        except TelephonyError as error:
            return self._refusal(400, error.code, str(error), inbound)
        except (ValueError, TypeError, AttributeError) as error:  # nonsense in an unchecked parameter
            return self._refusal(400, "INVALID_ARGUMENT", str(error), inbound)
        return Answer(200, {**body, "time": self._time(inbound.operation, start)})

    def _in_batch(self, name: str, params: dict[str, Any], inbound: Inbound, webhook: bool) -> dict[str, Any]:
        """One command of a batch: its answer, or `error` and `error_description`."""
        name = name.lower()
        fault = self.faults.pick_inside_batch(name)
        try:
            if fault is not None:
                raise RestError(fault.mode)
            return {**self._call(name, upper(params), webhook=webhook), "time": self._time(name, self.now())}
        except RestError as error:
            _, code, words = ERRORS[error.mode]
        except TelephonyError as error:
            code, words = error.code, str(error)
        except (ValueError, TypeError, AttributeError) as error:
            code, words = "INVALID_ARGUMENT", str(error)
        return {"error": "" if self.config.blank_errors else code, "error_description": words}

    def _call(self, name: str, params: dict[str, Any], *, webhook: bool) -> dict[str, Any]:
        self._check_access(name, webhook=webhook)
        if name in CRM_METHODS:
            return self._crm(name, params)
        match name:
            case "telephony.externalcall.register":
                return {"result": self.calls.register(params, self.now(), self.config.lead_creation_error)}
            case "telephony.externalcall.finish":
                return {"result": self.calls.finish(params, self.now())}
            case "telephony.externalcall.show":
                self.calls.show(str(params.get("CALL_ID")), int(params.get("USER_ID") or 0), self.now())
                return {"result": True}
            case "telephony.externalcall.hide":
                return {"result": True}
            case "telephony.externalline.get":
                return {"result": []}
            case "voximplant.statistic.get":
                return search(self._statistics(params.get("FILTER")), params)
            case "user.get" | "user.search":
                return self._users(params)
            case "user.current" | "profile":
                return {"result": self._person(self.config.webhook_user)}
            case "scope":
                return {"result": list(self.config.scopes)}
            case "server.time":
                return {"result": iso_utc(self.now())}
        raise RestError("404")

    def _check_access(self, name: str, *, webhook: bool) -> None:
        scope = SCOPE_OF.get(name.partition(".")[0])
        if scope is not None and scope not in self.config.scopes:
            raise RestError("insufficient_scope")
        if webhook and name in APPLICATION_ONLY and not self.config.webhook_allowed:
            raise RestError("wrong_auth_type")

    def _crm(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        match name:
            case "crm.timeline.comment.add":
                return {"result": self.crm.comment(params.get("FIELDS"), self.now(), self.config.webhook_user)}
            case "crm.timeline.comment.list":
                indexed = self.now() - self.config.lookup_lag
                return self.crm.timeline(params.get("FILTER"), int(params.get("START") or 0), indexed)
        return {"result": self.crm.search(params)}

    def _statistics(self, conditions: object) -> list[dict[str, Any]]:
        indexed = self.now() - self.config.lookup_lag
        candidates = self.calls.candidates(conditions)
        return [self.calls.statistics_record(event) for event in candidates if event["at"] <= indexed]

    def _person(self, user_id: int) -> dict[str, Any]:
        user = next((user for user in self.config.users if user.id == user_id), self.config.users[0])
        first, _, last = user.name.partition(" ")
        return {
            "ID": str(user.id),
            "ACTIVE": user.active,
            "NAME": first,
            "LAST_NAME": last,
            "UF_PHONE_INNER": user.inner or None,
        }

    def _users(self, params: dict[str, Any]) -> dict[str, Any]:
        conditions = {**(params["FILTER"] if isinstance(params.get("FILTER"), dict) else {}), **params}
        people = [self._person(user.id) for user in self.config.users]
        for name in ("ID", "UF_PHONE_INNER"):
            wanted = conditions.get(name)
            if wanted is not None:
                among = [str(one) for one in wanted] if isinstance(wanted, list) else [str(wanted)]
                people = [person for person in people if person[name] in among]
        return {"result": people, "total": len(people)}

    def _authorise(self, inbound: Inbound, params: dict[str, Any]) -> bool:
        """Whether the request came by the incoming webhook (otherwise by an access token). Raises RestError."""
        webhook = WEBHOOK.match(inbound.path)
        if webhook:
            if (int(webhook["user"]), webhook["secret"]) != (self.config.webhook_user, self.config.webhook_secret):
                raise RestError("invalid_credentials")
            return True
        token = params.get("AUTH") or params.get("ACCESS_TOKEN") or inbound.bearer()
        standing = self.tokens.standing(str(token), self.now())
        if standing != "valid":
            raise RestError("expired_token" if standing == "expired" else "no_auth")
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

    def vendor_error(self, mode: str, inbound: Inbound, fault: Fault) -> Answer:
        """The documented error body of a fault mode; 429 says in `time.operating_reset_at` when it ends."""
        answer = self._refusal(*ERRORS[mode], inbound)
        if mode == "429" and fault.retry_after is not None:
            answer.body["time"]["operating_reset_at"] = int(self.now() + fault.retry_after) + 1
        return answer

    def _token(self, inbound: Inbound) -> Answer:
        """The authorisation server: grant types refresh_token and authorization_code, by GET or POST."""
        fields = {
            name: values[-1]
            for name, values in parse_qs(inbound.query + "&" + inbound.body.decode(errors="replace")).items()
        }
        config, now = self.config, self.now()
        # Error bodies as the official SDK (b24pysdk, errors.oauth) documents them.
        if fields.get("client_id") != config.client_id:
            return Answer(200, {"error": "wrong_client"})
        if fields.get("client_secret") != config.client_secret:
            return Answer(400, {"error": "invalid_client"})
        lifetimes = (config.access_lifetime, config.refresh_lifetime)
        match fields.get("grant_type"):
            case "refresh_token":
                # "After the request both the refresh token and the access token issued with it become invalid."
                pair = self.tokens.rotate(fields.get("refresh_token", ""), now, *lifetimes, ends_access=True)
            case "authorization_code":
                pair = self.tokens.redeem(fields.get("code", ""), now, *lifetimes)
            case _:
                return Answer(400, {"error": "invalid_request", "error_description": "Unsupported grant_type"})
        if pair is None:
            return Answer(400, {"error": "invalid_grant"})
        issued = {"access_token": pair.access, "refresh_token": pair.refresh, "expires_in": pair.expires_in}
        address = {
            "domain": "oauth.bitrix.info",
            "client_endpoint": f"{self.url}/rest/",
            "server_endpoint": f"{self.url}/rest/",
        }
        about = {
            "expires": int(now) + pair.expires_in,
            "scope": "app",
            "status": "L",
            "member_id": "fake",
            "user_id": 1,
        }
        return Answer(200, {**issued, **about, **address})

    # State.

    def first_tokens(self) -> None:
        """Grant the configured pair."""
        config, now = self.config, self.now()
        ends = now + config.access_lifetime, now + config.refresh_lifetime
        self.tokens.grant(config.access_token, config.refresh_token, *ends)

    def apply(self, kind: str, event: Event) -> None:
        """Take over one recorded change."""
        if not self.crm.apply(kind, event):
            self.calls.apply(kind, event)

    def forget(self) -> None:
        """Forget all calls and what the limits counted."""
        self.crm = CrmBook(self.record, self.config.users)
        self.calls = CallBook(self.record, self.config.users, self.crm)
        self._bucket, self._operating = LeakyBucket(), OperatingTime()

    def entries(self) -> list[Entry]:
        """Finished calls."""
        return self.calls.entries()

    def orphans(self) -> list[dict[str, Any]]:
        """Registered, never finished."""
        return self.calls.orphans()

    def popups(self) -> list[dict[str, Any]]:
        """Call cards that opened (SHOW=1)."""
        return list(self.calls.popups)
