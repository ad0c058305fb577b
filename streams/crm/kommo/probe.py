"""The probe of a Kommo account (shared/probe.py): points 4, 5 and 6 of docs/crms-live.md.

Facts: add-calls, notes, incoming leads (developers.kommo.com); docs/crms.md.
"""

from streams.clock import MICROS_PER_SECOND, utc_now_us
from streams.crm.kommo.account import SKEW, Item, KommoAccount
from streams.crm.kommo.answers import error_text
from streams.crm.kommo.probe_account import ProbeAccount, repeated
from streams.crm.shared.call_fields import last_digits
from streams.crm.shared.check import users_of
from streams.crm.shared.probe import (
    LINE,
    CannotProbe,
    CrmProbe,
    FakeBehaviour,
    Outcome,
    Point,
    PointResult,
    ProbeRequest,
    tried,
)
from streams.crm.shared.probe_calls import probe_call
from streams.delivery.answers import FieldRefused, PortalBlocked, RetryLater, Succeeded, UserUnknown

CONFIG = "deploy/fake_crms/kommo/config.py"
UPDATED = Point(
    4,
    "Which time is updated_at of a call that was made long before it is sent?",
    FakeBehaviour(CONFIG, "note_updated_at", "the time of the request"),
)
MAKER = Point(
    5,
    "May a token name another user as created_by?",
    FakeBehaviour(CONFIG, "others_as_maker", "yes if its owner is an administrator, else no"),
)
CARD = Point(
    6,
    "Whose number does the call of an accepted incoming lead show?",
    FakeBehaviour(CONFIG, "card_shows", "the client's"),
)
OLD_SECONDS = 2 * 86400
NEAR_SECONDS = 300


async def run(request: ProbeRequest) -> None:
    """See CrmProbe.run."""
    account = KommoAccount(request.portal, request.tokens)
    account.pace = request.pace
    try:
        await _Probe(ProbeAccount(account, request), request).run()
    finally:
        await account.close()


PROBE = CrmProbe(
    points=(UPDATED, MAKER, CARD),
    writes="a contact, two calls at it, and an incoming lead that is accepted; Kommo's interface removes none of them, "
    "so the report has their addresses",
    run=run,
)


class _Probe:
    """One probe of one account."""

    def __init__(self, made: ProbeAccount, request: ProbeRequest) -> None:
        self._made = made
        self._request = request
        self._owner = ""
        self._is_admin = False
        self._others: list[str] = []

    async def run(self) -> None:
        await self._people()
        await self._made.decline_all()
        try:
            await tried(self._request, UPDATED, self._updated)
            await tried(self._request, MAKER, self._maker)
            await tried(self._request, CARD, self._card)
        finally:
            await self._made.decline_all()

    async def _people(self) -> None:
        """The token's owner, and the other active users. Only administrators may list them."""
        base = self._made.account.base
        shown = await self._made.ask("GET", base / "account")
        owner = shown.document.get("current_user_id") if isinstance(shown.document, dict) else None
        if shown.status != 200 or not owner:
            raise CannotProbe(f"the account does not take the token: {error_text(shown)}")
        self._owner = str(owner)
        named = [self._request.user, *(user for _, user in users_of(self._request.portal))]
        if (await self._made.ask("GET", base / "users")).status != 200:
            self._others = [user for user in named if user.isdigit() and user != self._owner]
            return
        users: list[Item] = []

        def take(user: Item) -> bool:
            users.append(user)
            return False

        ended = await self._made.account.search(base / "users", [], take, self._request.until)
        if isinstance(ended, RetryLater | PortalBlocked):
            raise CannotProbe(ended.why)
        rights: dict[str, Item] = {}
        for user in users:
            told = user.get("rights")
            rights[str(user.get("id"))] = told if isinstance(told, dict) else {}
        self._is_admin = bool(rights.get(self._owner, {}).get("is_admin"))
        active = [user for user, right in rights.items() if right.get("is_active") is not False and user != self._owner]
        self._others = [self._request.user] if self._request.user else active

    async def _updated(self) -> PointResult:
        """Point 4: a call of two days ago."""
        call = probe_call(self._request, 1, age_seconds=OLD_SECONDS)
        answer, reply, note = await self._made.called(call)
        if not isinstance(answer, Succeeded):
            raise CannotProbe(f"the account takes no test call: {error_text(reply)}")
        now = (utc_now_us() + self._made.account.ahead) // MICROS_PER_SECOND
        created = call.started_at // MICROS_PER_SECOND
        which = _moment(note.get("updated_at"), now, created)
        by_request, by_call = await self._windows(call.call_id, answer.ids["entity_type"], now, created)
        details = (
            f"updated_at of the note: {which}",
            f"created_at of the note: {_moment(note.get('created_at'), now, created)}",
            f"a list of notes updated at the time of the request: {_there(by_request)}",
            f"a list of notes updated at the time of the call: {_there(by_call)}",
        )
        if which == "the time of the request" and by_request and not by_call:
            return PointResult(UPDATED, Outcome.SAME, which, details=details)
        if by_request or by_call:
            follows = "a lookup finds such a call all the same, for it looks at both times"
        else:
            follows = "a call of long ago is not found again after a lost answer, and may come twice"
        return PointResult(UPDATED, Outcome.DIFFERENT, which, follows, details)

    async def _windows(self, uniq: str, entity: str, now: int, created: int) -> tuple[bool, bool]:
        """Whether a list of notes that were updated at the time of the request has the call, and one of those that were
        updated at the call's time."""
        notes = self._made.account.base / f"{entity}s" / "notes"
        spare = SKEW // MICROS_PER_SECOND
        windows = [(now - NEAR_SECONDS, now + spare), (created - spare, created + spare)]
        seen = [False, False]

        async def look() -> Item | None:
            found = None
            for number, window in enumerate(windows):
                note = await self._made.found(notes, uniq, window)
                seen[number] = note is not None
                found = found or note
            return found

        await repeated(look)
        return seen[0], seen[1]

    async def _maker(self) -> PointResult:
        """Point 5: a call that another user is said to have made."""
        if not self._others:
            words = "no other active user is known: invite one to the account, or name one by --user"
            return PointResult(MAKER, Outcome.LEFT_OUT, words)
        other = self._others[0]
        answer, reply, note = await self._made.called(probe_call(self._request, 2), other)
        owner = "an administrator" if self._is_admin else "no administrator"
        details: tuple[str, ...] = (f"the token's owner, user {self._owner}, is {owner}; the call names user {other}",)
        if isinstance(answer, Succeeded):
            kept = str(note.get("created_by"))
            details = (*details, f"created_by of the note: {kept}")
            if kept != other:
                words, follows = f"it is taken, and the call stands as of user {kept}", "statistics count it for him"
                return PointResult(MAKER, Outcome.DIFFERENT, words, follows, details)
            outcome = Outcome.SAME if self._is_admin else Outcome.DIFFERENT
            follows = "" if self._is_admin else "a token of any owner will do for statistics by employee"
            return PointResult(MAKER, outcome, "yes", follows, details)
        if isinstance(answer, UserUnknown):
            raise CannotProbe(f"the account takes no calls of user {other}: name another one by --user")
        if not isinstance(answer, FieldRefused):
            raise CannotProbe(f"the account takes no test call: {error_text(reply)}")
        details = (*details, f"HTTP {reply.status} that finds fault with {', '.join(answer.fields)}: {answer.why}")
        outcome = Outcome.DIFFERENT if self._is_admin else Outcome.SAME
        follows = "calls go without who made them, and statistics count them for a robot" if self._is_admin else ""
        return PointResult(MAKER, outcome, "no", follows, details)

    async def _card(self) -> PointResult:
        """Point 6: an incoming lead, accepted, and the call that then stands at it."""
        call = probe_call(self._request, 3, direction="incoming", extension="")
        uid, sent = await self._made.incoming(call)
        where = await self._made.accept(uid, self._owner)
        meta = sent["metadata"]
        line = meta.get("call_responsible")
        details: tuple[str, ...] = (f"sent: phone and from {meta.get('phone')} (the client), call_responsible {line}",)
        note = await self._made.note_of(call.call_id, where)
        if note is None:
            follows = "such a call is not found again after a lost answer, and may come twice"
            words = "no call with our id stands at the lead or its contact"
            return PointResult(CARD, Outcome.DIFFERENT, words, follows, details)
        params = note.get("params") or {}
        shown = {name: params.get(name) for name in ("phone", "call_responsible", "source", "duration", "call_status")}
        told = ", ".join(f"{name} {value}" for name, value in shown.items() if value is not None)
        details = (*details, f"the call's note: {note.get('note_type')}, {told}")
        phone = last_digits(str(shown["phone"] or ""))
        if phone == last_digits(self._request.number):
            return PointResult(CARD, Outcome.SAME, "the client's", details=details)
        words = "the line's" if phone == last_digits(LINE) else "neither the client's nor the line's"
        follows = "who accepts such a lead sees a wrong number at its call"
        return PointResult(CARD, Outcome.DIFFERENT, words, follows, details)


def _moment(value: object, now: int, created: int) -> str:
    """Which of two unix seconds a note's time is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none"
    if abs(value - now) <= NEAR_SECONDS:
        return "the time of the request"
    return "the time of the call" if abs(value - created) <= NEAR_SECONDS else f"another one ({value:.0f})"


def _there(found: bool) -> str:
    return "has the call" if found else "does not have it"
