"""Kommo: what a probe makes in an account: a contact, calls at it, an incoming lead; and what can be removed of it.

Facts: incoming leads (accept, decline), contacts, calls, notes (developers.kommo.com). The interface removes no
contacts, leads and notes: their addresses are told, so that a person can. An incoming lead is declined.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from yarl import URL

from streams.calls.result import CallResult
from streams.clock import utc_now_us
from streams.crm.kommo.account import CLIENT_LISTS, Item, KommoAccount
from streams.crm.kommo.answers import answer_of, error_text, portal_problem
from streams.crm.kommo.steps import ADDRESSES, fields_of
from streams.crm.shared.call_fields import last_digits
from streams.crm.shared.probe import PREFIX, AnswerLost, CannotProbe, Fate, ProbeRequest
from streams.crm.shared.probe_calls import EXTENSION, probe_delivery
from streams.delivery.answers import Answer, NotFound, OutcomeUnknown, PortalBlocked, RetryLater, Succeeded
from streams.http.request import NoReply, Reply
from streams.rules import CrmStatus

CALL, CONTACT, LEAD, INCOMING = "call (a note)", "contact", "lead", "incoming lead"
BY_HAND = "Kommo's interface removes no {}: remove it by hand"
NO_ANSWER = CrmStatus(6, "test call of cel2crm portal probe")
TRIES, PAUSE_SECONDS = 5, 2.0
"""Lists may show a thing a little later than it was made."""
MOST_INCOMING = 20


class ProbeAccount:
    """One account, and what one probe makes in it."""

    def __init__(self, account: KommoAccount, request: ProbeRequest) -> None:
        self.account = account
        self._request = request
        self._contact = ""

    async def ask(self, method: str, url: URL, body: object = None) -> Reply:
        """A reply of the account to this very request. Raises CannotProbe: there is none, or it says: not now."""
        await self.account.pace()
        ending = await self.account.ask(method, url, self._request.until, body)
        if isinstance(ending, PortalBlocked | RetryLater):
            raise CannotProbe(ending.why)
        if isinstance(ending, NoReply):
            raise AnswerLost(f"{url.path}: {ending.why}")
        if not isinstance(ending, Reply):
            raise CannotProbe(f"{url.path}: {getattr(ending, 'why', 'there was no time left')}")
        problem = portal_problem(ending, utc_now_us()) if ending.status not in (200, 204) else None
        if isinstance(problem, PortalBlocked) and ending.status in (403, 404) and isinstance(ending.document, dict):
            return ending  # about this user's rights, or the thing that was asked for
        if isinstance(problem, RetryLater | PortalBlocked):
            raise CannotProbe(problem.why)
        return ending

    async def post(self, step: str, result: CallResult, user: str = "") -> tuple[Answer, Item, Reply]:
        """POST a step of a test call as a delivery does, under the probe's name; what the product makes of the answer,
        what was sent, and the answer. `user`: whom the call belongs to; empty: nobody in particular."""
        given = {"users": {EXTENSION: user} if user else {}, "default_user": user or None, "users_by": "id"}
        portal = self._request.portal.model_copy(update={**given, "route": (), "missed_call_user": "last_rung"})
        delivery = probe_delivery(result, portal, step, {})
        fields, _ = fields_of(step, result, delivery, portal, lambda _: NO_ANSWER)
        sent: dict[str, Any] = self._marked(step, fields)
        what = {"call": CALL, "contact": CONTACT, "unsorted": INCOMING}[step]
        try:
            reply = await self.ask("POST", self.account.base.joinpath(*ADDRESSES[step]), [sent])
        except (AnswerLost, asyncio.CancelledError):
            self._request.report.lost(what, result.call_id)
            raise
        answer = answer_of(step, reply, sent, "skip", utc_now_us())
        if isinstance(answer, OutcomeUnknown):
            self._request.report.lost(what, result.call_id)
        return answer, sent, reply

    def _marked(self, step: str, fields: dict[str, object]) -> dict[str, Any]:
        marker = self._request.marker
        if step == "contact":
            return {**fields, "name": marker}
        if step == "unsorted":
            inner: Any = fields["_embedded"]
            embedded = {name: [{**each, "name": marker} for each in items] for name, items in inner.items()}
            return {**fields, "source_name": marker, "_embedded": embedded}
        return {**fields, "source": marker}

    async def contact(self, result: CallResult) -> str:
        """The id of the contact with the probe's number: an earlier probe's, or a new one. Raises CannotProbe."""
        if self._contact:
            return self._contact
        digits = last_digits(self._request.number)
        known = await self.account.contact(digits, self._request.until, CLIENT_LISTS)
        if isinstance(known, RetryLater | PortalBlocked):
            raise CannotProbe(known.why)
        if isinstance(known, dict):
            if not str(known.get("name") or "").startswith(PREFIX):
                words = "somebody in the account has the number of the test calls: give another one (--number)"
                raise CannotProbe(words)
            self._contact = str(known.get("id"))
        else:
            answer, _, reply = await self.post("contact", result)
            if not isinstance(answer, Succeeded):
                raise CannotProbe(f"no contact for the test calls could be made: {error_text(reply)}")
            self._contact = answer.ids["contact"]
        self._stays(CONTACT, self._contact, f"/contacts/detail/{self._contact}", "; the next probe takes it again")
        return self._contact

    async def called(self, result: CallResult, user: str = "") -> tuple[Answer, Reply, Item]:
        """The answer to a test call that is posted, and its note where it was taken, else an empty one."""
        await self.contact(result)
        answer, _, reply = await self.post("call", result, user)
        if not isinstance(answer, Succeeded):
            return answer, reply, {}
        where = {"note": answer.ids["note"], **{name: answer.ids[name] for name in ("entity_id", "entity_type")}}
        self._stays(CALL, where["note"], _address(where["entity_type"], where["entity_id"]))
        await self.account.pace()
        note = await self.account.note(where, self._request.until)
        if not isinstance(note, dict):
            why = "it is not there" if note is None else note.why
            raise CannotProbe(f"the note of a call that was taken could not be read: {why}")
        return answer, reply, note

    async def incoming(self, result: CallResult) -> tuple[str, Item]:
        """An incoming lead: its uid, and what was sent. Raises CannotProbe where the account takes none."""
        answer, sent, reply = await self.post("unsorted", result)
        if not isinstance(answer, Succeeded):
            raise CannotProbe(f"the account takes no incoming lead: {error_text(reply)}")
        self._request.report.make(INCOMING, answer.ids["unsorted"])
        return answer.ids["unsorted"], sent

    async def accept(self, uid: str, user: str) -> dict[str, str]:
        """Accept an incoming lead in a user's name: the ids of its `lead` and `contact`. Raises CannotProbe."""
        url = self.account.base / "leads" / "unsorted" / uid / "accept"
        reply = await self.ask("POST", url, {"user_id": int(user)} if user.isdigit() else {})
        embedded = reply.document.get("_embedded") if reply.status == 200 and isinstance(reply.document, dict) else None
        if not isinstance(embedded, dict):
            raise CannotProbe(f"the incoming lead could not be accepted: {error_text(reply)}")
        report = self._request.report
        report.made = [each for each in report.made if (each.what, each.id) != (INCOMING, uid)]
        found: dict[str, str] = {}
        for what, name in ((LEAD, "leads"), (CONTACT, "contacts")):
            items = embedded.get(name)
            if isinstance(items, list) and items and isinstance(items[0], dict) and items[0].get("id"):
                found[what] = str(items[0]["id"])
                self._stays(what, found[what], f"/{name}/detail/{found[what]}")
        return found

    async def note_of(self, uniq: str, where: dict[str, str]) -> Item | None:
        """The note of an accepted call at its lead or contact; None: there is none, asked several times."""

        async def look() -> Item | None:
            for what, thing_id in where.items():
                notes = self.account.base / f"{what}s" / thing_id / "notes"
                found = await self.found(notes, uniq)
                if found is not None:
                    return found
            return None

        return await repeated(look)

    async def found(self, notes: URL, uniq: str, updated: tuple[int, int] | None = None) -> Item | None:
        """The call with this `uniq` in a list of notes, of those that were updated between two unix seconds."""
        query = [("filter[note_type][0]", "call_in"), ("filter[note_type][1]", "call_out")]
        if updated is not None:
            query += [
                ("filter[updated_at][from]", str(updated[0])),
                ("filter[updated_at][to]", str(updated[1])),
            ]
        found = await self.account.search(notes, query, lambda note: _uniq(note) == uniq, self._request.until)
        if isinstance(found, RetryLater | PortalBlocked):
            raise CannotProbe(found.why)
        return None if isinstance(found, NotFound) else found

    async def decline_all(self) -> None:
        """Decline the incoming leads that a probe made, this one or an earlier one."""
        listed = self.account.base / "leads" / "unsorted"
        query = [("filter[category][0]", "sip"), ("order[created_at]", "desc")]
        declined: set[str] = set()
        for _ in range(MOST_INCOMING):
            one = await self.account.search(listed, query, lambda each: _is_ours(each, declined), self._request.until)
            if not isinstance(one, dict):
                return
            uid = str(one.get("uid"))
            declined.add(uid)
            reply = await self.ask("DELETE", listed / uid / "decline", {})
            gone = reply.status == 200
            fate = Fate.REMOVED if gone else Fate.STAYS
            self._request.report.settle(INCOMING, uid, fate, "" if gone else f"not declined: {error_text(reply)}")

    def _stays(self, what: str, thing_id: str, where: str, remark: str = "") -> None:
        self._request.report.make(what, thing_id, where)
        kind = {CALL: "notes"}.get(what, f"{what}s")
        self._request.report.settle(what, thing_id, Fate.STAYS, BY_HAND.format(kind) + remark)


async def repeated(look: Callable[[], Awaitable[Item | None]]) -> Item | None:
    """What is looked for, asked for again where it is not there yet."""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE_SECONDS)
        found = await look()
        if found is not None:
            return found
    return None


def _is_ours(one: Item, declined: set[str]) -> bool:
    return str(one.get("source_uid") or "").startswith(PREFIX) and str(one.get("uid")) not in declined


def _address(kind: str, entity: str) -> str:
    plural = {"company": "companies"}.get(kind, f"{kind}s")
    return f"/{plural}/detail/{entity}"


def _uniq(note: Item) -> object:
    params = note.get("params")
    return params.get("uniq") if isinstance(params, dict) else None
