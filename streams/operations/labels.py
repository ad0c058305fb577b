"""States and outcomes of deliveries as people read them."""

from streams.delivery.record import State

STATES = {
    State.NEW: "waits for its turn",
    State.INTENT: "a request is out",
    State.REGISTERED: "begun; the next step is due",
    State.UNSURE: "a request's outcome is unknown; it is looked up",
    State.LOOKED_UP: "looked up and not found; looked up once more before that is believed",
    State.DELIVERED: "delivered",
    State.SUPERSEDED: "delivered; a later version differs and was not sent",
    State.WAITING: "waits to be tried again",
    State.PAUSED: "waits until its portal takes calls again",
    State.REFUSED: "refused by the CRM",
    State.GIVEN_UP: "given up",
    State.SKIPPED: "skipped",
    State.DROPPED: "dropped by an operator",
    State.SHADOWED: "a shadow: recorded, not sent",
    State.SERVING: "is served",
    State.DISABLED: "wants no more calls",
}

FOLLOW_UP_STATES = {
    State.NEW: "comes after the call",
    State.DELIVERED: "in the CRM",
    State.REFUSED: "ended: not taken",
    State.GIVEN_UP: "ended: given up",
    State.SKIPPED: "ended: there is none",
}
"""States of what follows a call, where they read differently."""

_OF_TASKS = {
    ("missed_task", State.DELIVERED): "done",
    ("missed_task", State.SKIPPED): "ended: none is needed",
    ("close_tasks", State.DELIVERED): "done",
}


def follow_up_words(kind: str, state: State) -> str:
    """How something that follows a call stands, for people."""
    return _OF_TASKS.get((kind, state)) or FOLLOW_UP_STATES.get(state, STATES[state])


OUTCOMES = {
    "done": "done",
    "later": "no effect; to be repeated",
    "pause": "no effect; a person must act",
    "refused": "refused",
    "unsure": "no answer that tells whether it had its effect",
    "gone": "the CRM does not know what the step before made",
    "needs": "something has to go before it",
    "nouser": "the CRM does not know the person",
    "nofield": "the CRM does not take a field of us",
    "notyet": "no effect until something changes in the CRM; to be repeated slowly",
    "partly": "only its first part had its effect",
    "unwanted": "not wanted for this number",
    "not_sent": "not sent: its time was over",
    "owner_lost": "its worker was lost; it may have had its effect",
    "found": "looked up: it is there",
    "not_found": "looked up twice: it is not there",
}
