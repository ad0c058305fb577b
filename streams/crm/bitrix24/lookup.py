"""Bitrix24: a finished call looked for in the statistics.

Facts: voximplant.statistic.get (apidocs.bitrix24.com). Where its owner may see own calls only, or those of one
department, the portal does not refuse: it leaves the others out (seen in the product's source; docs/crms.md).
"""

from typing import Any

import orjson

from streams.clock import MICROS_PER_SECOND, UtcMicros
from streams.crm.bitrix24.answers import IDS_OF_FINISH, ids_of
from streams.crm.bitrix24.errors import code_of, error_text, own_error, portal_problem
from streams.crm.bitrix24.kind import KIND
from streams.crm.shared.call_fields import external_id
from streams.crm.shared.transport_answers import lookup_without_reply
from streams.delivery.answers import CallFound, LookupResult, NotFound, PortalBlocked, RetryLater
from streams.delivery.record import Delivery, Intent
from streams.http.request import Ending, Reply

METHOD = "voximplant.statistic.get"

NO_RIGHT = (
    "the owner of the webhook or application may not view the calls of all: in Bitrix24, Telephony, Access "
    "permissions, give their role `Call statistics: view: all` (else a call whose answer was lost could come twice)"
)
IGNORED_FILTER = (
    "the portal answers a lookup with other calls than the one that was asked for: it does not know that filter, so "
    "that what became of a lost answer cannot be told"
)

MAX_WITNESSES = 50
"""People of whom a finished call is remembered."""


def by_our_id(call_id: str) -> dict[str, object]:
    """The fields that ask for a call by the id that we gave it."""
    return {"FILTER": {"EXTERNAL_CALL_ID": external_id(call_id, KIND.longest_external_id)}}


def by_their_id(crm_call_id: str) -> dict[str, object]:
    """The fields that ask for a call by Bitrix24's CALL_ID."""
    return {"FILTER": {"CALL_ID": crm_call_id}}


def records_of(ending: Ending) -> list[dict[str, Any]] | None:
    """The calls that an answer lists; None: it lists none, since it is not one of success."""
    document = ending.document if isinstance(ending, Reply) and ending.status == 200 else None
    records = document.get("result") if isinstance(document, dict) else None
    return [one for one in records if isinstance(one, dict)] if isinstance(records, list) else None


def lookup_result(ending: Ending, delivery: Delivery, now: int) -> LookupResult:
    """The call in the answer of a lookup. An answer of other calls than ours proves nothing: a RetryLater."""
    if not isinstance(ending, Reply):
        return lookup_without_reply(ending)
    records = records_of(ending)
    if records is not None:
        ours = [one for one in records if _is_ours(one, delivery)]
        if ours:
            return CallFound(ids_of(ours[0], ("CALL_ID", *IDS_OF_FINISH)))
        return RetryLater(IGNORED_FILTER) if records else NotFound()
    if own_error(ending) and code_of(ending) == "ACCESS_DENIED":
        return PortalBlocked(f"{NO_RIGHT} (HTTP {ending.status}: {error_text(ending)})")
    problem = portal_problem(ending, now)
    if isinstance(problem, PortalBlocked | RetryLater):
        return problem
    return RetryLater(problem.why if problem else error_text(ending), whole_portal=problem is not None)


def _is_ours(record: dict[str, Any], delivery: Delivery) -> bool:
    known = delivery.crm_ids.get("CALL_ID")
    if known and record.get("CALL_ID") == known:
        return True
    return bool(record.get("EXTERNAL_CALL_ID") == external_id(delivery.call_id, KIND.longest_external_id))


class Witnesses:
    """Calls that this process finished, one of each person: a lookup that does not see them sees not enough."""

    def __init__(self, settle_seconds: float) -> None:
        """`settle_seconds`: the time after which a finished call must be found."""
        self._settle_us = int(settle_seconds * MICROS_PER_SECOND)
        self._calls: dict[str, tuple[UtcMicros, str]] = {}

    def note(self, ending: Ending, step: str, now: UtcMicros) -> None:
        """Remember the call that an answer of success finished."""
        document = ending.document if isinstance(ending, Reply) and ending.status == 200 else None
        result = document.get("result") if isinstance(document, dict) else None
        if step == "register_finish" and isinstance(result, dict):
            commands = result.get("result")
            result = commands.get("finish") if isinstance(commands, dict) else None
        if step not in ("finish", "register_finish") or not isinstance(result, dict):
            return
        user, call = str(result.get("PORTAL_USER_ID") or ""), str(result.get("CALL_ID") or "")
        if user and call and (user in self._calls or len(self._calls) < MAX_WITNESSES):
            known = self._calls.get(user)
            if known is None or now - known[0] > 10 * self._settle_us:
                self._calls[user] = (now, call)

    def call_for(self, doubt: Intent, now: UtcMicros) -> str:
        """CALL_ID of a call that must be found: of the person of the doubtful call, or of another; empty: none yet."""
        sent = orjson.loads(doubt.sent or "{}")
        wanted = str(sent.get("finish", sent).get("USER_ID") or "")
        settled = {user: call for user, (since, call) in self._calls.items() if now - since >= self._settle_us}
        return settled.get(wanted) or next(iter(settled.values()), "")
