"""What a Kommo account holds, and a request about it: contacts, leads, notes of calls and of texts. No HTTP.

Sources: developers.kommo.com (add calls, notes, incoming leads of type sip, error bodies), issues 52, 383 and 570 of
the official PHP SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from deploy.fake_crms.entry import Direction, Entry, PortalUser, Tone, iso_utc
from deploy.fake_crms.exchange import Inbound
from deploy.fake_crms.journal import Event
from deploy.fake_crms.kommo.config import KommoConfig
from deploy.fake_crms.kommo.task_store import TaskStore
from deploy.fake_crms.phones import last_digits

STATUS_WORDS = {
    1: "Left a voice message",
    2: "Call back later",
    3: "Out of the office",
    4: "Conversation took place",
    5: "Wrong number",
    6: "Did not get through",
    7: "Number busy",
}
_TONES: dict[int, Tone] = {1: "neutral", 2: "failed", 3: "failed", 4: "good", 5: "failed", 6: "missed", 7: "failed"}
DIRECTIONS: dict[str, Direction] = {"inbound": "incoming", "outbound": "outgoing"}
ACCOUNT_ID = 30000001
PIPELINE_ID = 5000001
ROBOT = 0
"""Stands for the user of a call that nobody is named for: statistics count it for a robot."""


@dataclass(slots=True)
class AccountStore:
    """The contacts, leads and notes of an account. `record` writes a change to the journal and calls `apply` with
    it."""

    record: Callable[[str, Event], None]
    users: tuple[PortalUser, ...]
    contacts: dict[int, Event] = field(default_factory=dict)
    by_phone: dict[str, int] = field(default_factory=dict)
    digits_of: dict[int, frozenset[str]] = field(default_factory=dict)
    """The numbers of contacts, companies and customers, as they are compared."""
    notes: list[Event] = field(default_factory=list)
    texts: list[Event] = field(default_factory=list)
    leads: list[Event] = field(default_factory=list)
    unsorted: list[Event] = field(default_factory=list)
    others: list[Event] = field(default_factory=list)
    """Companies and customers."""
    tasks: TaskStore = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = TaskStore(self.record, self.users)

    def contact_for(self, phone: str) -> int | None:
        """The contact with the same last 10 digits."""
        return self.by_phone.get(last_digits(phone))

    def add_contact(self, name: str, phones: list[str], now: float, responsible: int | None = None) -> int:
        """Add a contact; its id. `responsible` is the id of a user."""
        contact_id = 700_000 + len(self.contacts) + 1
        event = {"id": contact_id, "name": name, "phones": phones, "responsible": responsible, "at": now}
        self.record("contact", event)
        return contact_id

    def add_client(self, kind: str, name: str, phones: list[str], now: float, responsible: int | None = None) -> int:
        """Add a `company` or a `customer`; its id."""
        client = {"id": 600_000 + len(self.others) + 1, "kind": kind, "name": name, "phones": phones}
        self.record("client", {**client, "responsible": responsible, "at": now})
        return int(self.others[-1]["id"])

    def clients_of(self, kind: str) -> list[Event]:
        """The companies, or the customers."""
        return [one for one in self.others if one["kind"] == kind]

    def customer_for(self, phone: str) -> int | None:
        """The customer with the same last 10 digits."""
        return self._client_for("customer", phone)

    def company_for(self, phone: str) -> int | None:
        """The company with the same last 10 digits."""
        return self._client_for("company", phone)

    def _client_for(self, kind: str, phone: str) -> int | None:
        digits = last_digits(phone)
        fitting = (one["id"] for one in self.clients_of(kind) if digits in map(last_digits, one["phones"]))
        return next(fitting, None)

    @property
    def next_lead(self) -> int:
        """The id of the lead that is made next."""
        return 800_000 + len(self.leads) + len(self.unsorted) + 1

    def add_lead(self, name: str, contact: int | None, now: float) -> int:
        """Add a lead; its id."""
        self.record("lead", {"id": self.next_lead, "name": name, "contact": contact, "at": now})
        return int(self.leads[-1]["id"])

    def add_call(
        self, item: dict[str, Any], entity_id: int, now: float, entity: str = "contact", via: str = "calls"
    ) -> Event:
        """Add the note of one call. Calls are not compared with earlier ones: the same uniq twice makes two notes."""
        user_id = item.get("responsible_user_id") or self.users[0].id
        note = {
            "id": self._next_note,
            "entity": entity,
            "entity_id": entity_id,
            "user_id": user_id,
            "via": via,
        }
        self.record("note", {**note, "at": now, "created_at": item.get("created_at") or int(now), "call": item})
        return self.notes[-1]

    @property
    def _next_note(self) -> int:
        return 900_000 + len(self.notes) + len(self.texts) + 1

    @property
    def all_notes(self) -> list[Event]:
        """Notes of calls and of texts, in the order in which they were written."""
        return sorted([*self.notes, *self.texts], key=itemgetter("id"))

    def has_entity(self, entity_id: int) -> bool:
        """Whether a contact, company, customer or lead has this id."""
        leads = {lead["id"] for lead in self.leads} | {one["lead"] for one in self.unsorted}
        return entity_id in self.contacts or entity_id in leads | {one["id"] for one in self.others}

    def add_text(self, entity: str, entity_id: int, note_type: str, params: Event, now: float) -> Event:
        """Add a note with a text."""
        note = {"id": self._next_note, "entity": entity, "entity_id": entity_id, "type": note_type, "params": params}
        self.record("text", {**note, "user_id": self.users[0].id, "created_at": int(now), "at": now})
        return self.texts[-1]

    def edit_note(self, note_id: int, params: Event, now: float) -> None:
        """Give a note new params."""
        self.record("edited", {"id": note_id, "params": params, "at": now})

    def add_unsorted(self, uid: str, lead: int, item: dict[str, Any], now: float) -> None:
        """Add an incoming lead that nobody has accepted or declined yet."""
        self.record("unsorted", {"uid": uid, "lead": lead, "item": item, "at": now})

    def settle_unsorted(self, uid: str, how: str) -> None:
        """Accept or decline an incoming lead; `how`: accepted, declined."""
        self.record("settled", {"uid": uid, "how": how})

    def apply(self, kind: str, event: Event) -> None:
        """Apply one recorded change."""
        match kind:
            case "contact":
                self.contacts[event["id"]] = event
                self.digits_of[event["id"]] = frozenset(map(last_digits, event["phones"]))
                for phone in event["phones"]:
                    self.by_phone.setdefault(last_digits(phone), event["id"])
            case "note":
                self.notes.append(event)
            case "text":
                self.texts.append(event)
            case "edited":
                self._edit(event)
            case "lead":
                self.leads.append(event)
            case "client":
                self.others.append(event)
                self.digits_of[event["id"]] = frozenset(map(last_digits, event["phones"]))
            case "unsorted":
                self.unsorted.append(event)
            case "settled":
                next(one for one in self.unsorted if one["uid"] == event["uid"])["settled"] = event["how"]
            case _:
                self.tasks.apply(kind, event)

    def _edit(self, event: Event) -> None:
        note = next(note for note in self.all_notes if note["id"] == event["id"])
        note["at"], note["edited"] = event["at"], True
        if "call" in note:
            kept = {
                name: note["call"][name] for name in ("direction", "created_at", "created_by") if name in note["call"]
            }
            note["call"] = {**event["params"], **kept}
        else:
            note["params"] = event["params"]

    def note_json(self, note: Event, address: str, moment: str = "now") -> dict[str, Any]:
        """A note as GET /api/v4/contacts/notes lists it. `moment`: KommoConfig.note_updated_at."""
        call = note.get("call", {})
        kind = {"inbound": "call_in", "outbound": "call_out"}.get(call.get("direction", ""), note.get("type"))
        entities = "companies" if note["entity"] == "company" else f"{note['entity']}s"
        path = f"{address}/api/v4/{entities}/{note['entity_id']}/notes/{note['id']}"
        return {
            "id": note["id"],
            "entity_id": note["entity_id"],
            "created_by": call.get("created_by", 0),
            "updated_by": call.get("created_by", 0),
            "created_at": note["created_at"],
            "updated_at": updated_at(note, moment),
            "responsible_user_id": note["user_id"],
            "group_id": 0,
            "note_type": kind,
            "params": _params(call, note["id"]) if call else note.get("params"),
            "account_id": ACCOUNT_ID,
            "_links": {"self": {"href": path}},
        }

    def entries(self) -> list[Entry]:
        """The calls as a person sees them."""
        return [self._entry(number, note) for number, note in enumerate(self.notes, 1)]

    def _shown(self, call: Event) -> tuple[int, str]:
        """Who is shown as having made the call: call_responsible, a user or a name; else created_by; else a robot
        (CallModel.php of the official PHP SDK; developers.kommo.com, add calls)."""
        who = call.get("call_responsible") or call.get("created_by") or ROBOT
        if isinstance(who, str):
            return ROBOT, who
        return who, next((user.name for user in self.users if user.id == who), f"user {who}" if who else "Robot")

    def _entry(self, number: int, note: Event) -> Entry:
        call = note["call"]
        status = call.get("call_status")
        user_id, name = self._shown(call)
        return Entry(
            number=number,
            crm_id=str(note["id"]),
            external_id=call.get("uniq"),
            phone=call["phone"],
            direction=DIRECTIONS[call["direction"]],
            user_id=user_id,
            user=name,
            duration=call["duration"],
            started_at=iso_utc(note["created_at"]),
            received_at=iso_utc(note["at"]),
            status="" if status is None else str(status),
            words=STATUS_WORDS.get(status, "No status"),
            tone=_TONES.get(status, "neutral"),
            successful=status == 4,
            missed=status == 6 and call["direction"] == "inbound",
            text=call.get("call_result"),
            line=call["source"],
            via=note["via"],
            popup=False,
            recording=call.get("link") or None,
        )


def updated_at(note: Event, moment: str) -> int:
    """A note's updated_at, unix seconds. `moment`: KommoConfig.note_updated_at."""
    return int(note["created_at"] if moment == "created" and not note.get("edited") else note["at"])


def _params(call: Event, note_id: int) -> Event:
    """The params of a call's note: what is not set is null (amocrm-api-php issues 203, 471), and call_status is a
    string now and then (471): here of every other note, by its id."""
    params = {name: call.get(name) for name in ("uniq", "duration", "source", "link", "phone", "call_result")}
    if call.get("call_responsible") is not None:
        params["call_responsible"] = call["call_responsible"]
    status = call.get("call_status")
    return {**params, "call_status": str(status) if status is not None and note_id % 2 == 0 else status}


@dataclass(frozen=True, slots=True)
class Request:
    """An authorised request and the account that it is about.

    `now` gives unix seconds on the portal's clock, `url` is the portal's address without a slash at the end.
    """

    inbound: Inbound
    account: AccountStore
    config: KommoConfig
    now: Callable[[], float]
    url: str

    def indexed_until(self) -> float:
        """The unix second until which changes are found by look-ups."""
        return self.now() - self.config.lookup_lag
