"""The OAuth tokens of a portal: short-lived access tokens, refresh tokens that are good for one use."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.fake_crms.journal import Event

AccessStatus = Literal["valid", "expired", "unknown"]


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A pair as the vendor issues it; `expires_in` in seconds."""

    access: str
    refresh: str
    expires_in: int


@dataclass(slots=True)
class TokenStore:
    """The tokens and codes that are good. `record` writes each change to the journal before it applies, so that a
    restarted portal knows them too."""

    record: Callable[[str, Event], None]
    access: dict[str, float] = field(default_factory=dict)  # token -> unix second of its end
    refresh: dict[str, float] = field(default_factory=dict)
    codes: dict[str, float] = field(default_factory=dict)  # code -> unix second of its end
    issued_with: dict[str, str] = field(default_factory=dict)  # refresh token -> the access token of its pair

    def access_status(self, token: str, now: float) -> AccessStatus:
        """Whether an access token is valid at `now`, unix seconds."""
        end = self.access.get(token)
        if end is None:
            return "unknown"
        return "valid" if now < end else "expired"

    def issue(self, now: float, access_lifetime: float, refresh_lifetime: float) -> TokenPair:
        """Issue a new pair; lifetimes in seconds."""
        pair = TokenPair(secrets.token_hex(16), secrets.token_hex(24), int(access_lifetime))
        self.grant(pair.access, pair.refresh, now + access_lifetime, now + refresh_lifetime)
        return pair

    def grant(self, access: str, refresh: str, access_end: float, refresh_end: float) -> None:
        """Make a pair good until the unix seconds given."""
        ends = {"access": access, "refresh": refresh, "access_end": access_end, "refresh_end": refresh_end}
        self.record("tokens_granted", ends)

    def rotate(
        self, refresh: str, now: float, access_lifetime: float, refresh_lifetime: float, *, ends_access: bool = False
    ) -> TokenPair | None:
        """Issue a new pair for a refresh token, which is used up by it; None if the token is used, expired or unknown.

        `ends_access`: the access token of the used pair ends too, whatever was left of its time.
        """
        if now >= self.refresh.get(refresh, 0.0):
            return None
        self.record("refresh_used", {"refresh": refresh, "ends_access": ends_access})
        return self.issue(now, access_lifetime, refresh_lifetime)

    def authorise(self, now: float, lifetime: float) -> str:
        """Give out a code as the vendor gives it to an administrator who installs the integration: good once."""
        code = secrets.token_hex(12)
        self.record("code_given", {"code": code, "end": now + lifetime})
        return code

    def redeem(self, code: str, now: float, access_lifetime: float, refresh_lifetime: float) -> TokenPair | None:
        """Issue the first pair for a code; None if it was not given, is used or too old."""
        if now >= self.codes.get(code, 0.0):
            return None
        self.record("code_used", {"code": code})
        return self.issue(now, access_lifetime, refresh_lifetime)

    def expire_access(self) -> None:
        """End all access tokens now, as if their hour had passed."""
        self.record("access_expired", {})

    def snapshot(self) -> Event:
        """Everything that is good now, to be applied as `tokens_kept`."""
        return {
            "access": dict(self.access),
            "refresh": dict(self.refresh),
            "codes": dict(self.codes),
            "issued_with": dict(self.issued_with),
        }

    def apply(self, kind: str, event: dict[str, Any]) -> bool:
        """Apply one recorded change; False if it is not a change of tokens."""
        match kind:
            case "tokens_granted":
                self.access[event["access"]] = event["access_end"]
                self.refresh[event["refresh"]] = event["refresh_end"]
                self.issued_with[event["refresh"]] = event["access"]
            case "refresh_used":
                self.refresh.pop(event["refresh"], None)
                access = self.issued_with.pop(event["refresh"], "")
                if event["ends_access"]:
                    self.access.pop(access, None)
            case "code_given":
                self.codes[event["code"]] = event["end"]
            case "code_used":
                self.codes.pop(event["code"], None)
            case "access_expired":
                self.access = dict.fromkeys(self.access, 0.0)
            case "tokens_kept":
                self.access, self.refresh = event["access"], event["refresh"]
                self.codes, self.issued_with = event["codes"], event["issued_with"]
            case _:
                return False
        return True
