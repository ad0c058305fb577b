"""The entries due in each portal at the end, from the recordings' truth alone: never from what the product says."""

from dataclasses import dataclass

from deploy.demo.recordings import Case

NO_CLIENT_NUMBER = {
    "inbound_anonymous": "the caller withheld the number",
    "callfile_app_playback": "a call file's rows hold only its own caller id",
    "callfile_noanswer": "a call file's rows hold only its own caller id",
    "click2call_originate_agent_noanswer": "Asterisk never called the client, so no row names one",
}
"""External cases whose rows name no number that a CRM could use: nothing can be delivered, and the product says so."""

_INTERNAL = "internal"
_PICKUP = "*8"


@dataclass(frozen=True, slots=True)
class Expected:
    """The truth about one call."""

    case: str
    linkedid: str
    external: bool
    """True: the call belongs into each CRM, once."""
    answered: bool | None
    """A person talked; None where the truth is not known."""
    piece: bool = False
    """A part of another call, which tells it."""

    def stands_in(self, portal: str) -> bool:
        """Whether the portal gets it, once: a webhook gets every call but the pieces."""
        return not self.piece if portal == "webhook" else self.external


def expected(case: Case) -> list[Expected]:
    """The truth about each linkedid of a case."""
    if case.truth.get("calls"):
        return [
            Expected(case.name, call["linkedid"], external=True, answered=call["human_answered"])
            for call in case.truth["calls"]
        ]
    external = case.direction != _INTERNAL and case.name not in NO_CLIENT_NUMBER
    answered = case.truth.get("human_answered")
    told = []
    for linkedid in case.linkedids:
        # A colleague's short call of *8 that took the ringing call over: part of the other call for everybody.
        first = next(row for row in case.rows if row["linkedid"] == linkedid)
        pickup = len(case.linkedids) > 1 and first["exten"].startswith(_PICKUP)
        told.append(Expected(case.name, linkedid, external and not pickup, None if pickup else answered, piece=pickup))
    return told
