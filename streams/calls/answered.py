"""Whether a person on the other side talked (docs/call-status.md, answered)."""

from streams.calls.facts import CallFacts, Channel
from streams.calls.hangup import HangupFacts
from streams.calls.pbx_profile import PbxProfile


def is_answered(facts: CallFacts, profile: PbxProfile, hangup: HangupFacts) -> tuple[bool, str]:
    """Whether a person on the other side talked, and what says so."""
    if facts.calling is None:
        return False, "not answered: no calling channel"
    if facts.calling_missing and any(channel.talks for channel in facts.channels.values()):
        return True, "answered: a person's channel was in a bridge with another person's; the caller's rows are missing"
    if facts.calling_connected:
        seen = (
            "at the same time as another person's (no row names a peer)"
            if facts.peers_inferred
            else "with another person's"
        )
        return True, f"answered: the calling channel was in a bridge {seen}, last at row {facts.calling_talk_row}"
    if called := called_by_asterisk(facts):
        return True, f"answered: Asterisk called {called.endpoint}, and it answered"
    if not profile.bridges_logged:
        answered = hangup.dial_status == "ANSWER"
        return answered, f"{'' if answered else 'not '}answered: no BRIDGE rows are logged, the dial status decides"
    if bridges_missing(facts, hangup):
        return False, (
            "not answered: dial status is ANSWER, but no row shows a bridge; "
            "if cel.conf logs no BRIDGE events, set aggregate.bridges_logged: false"
        )
    return False, "not answered: the calling channel was never in a bridge with another person's"


def assume_talks(facts: CallFacts) -> None:
    """Add the talks of an answered call whose PBX logs no bridges: who answered talked, until they hung up."""
    calling = facts.calling
    answered = [each for each in facts.other_channels if each.answered is not None]
    for channel in answered:
        channel.talks = [[channel.answered or 0, channel.ended or facts.last]]
    if calling is not None and calling.real and answered:
        calling.talks = [[min(each.talks[0][0] for each in answered), calling.ended or facts.last]]


def called_by_asterisk(facts: CallFacts) -> Channel | None:
    """The trunk channel that Asterisk itself originated, and that answered: the person called is on it.

    Called through a Local channel, which then began the call, it is the trunk that this was connected with.
    """
    calling = facts.calling
    if calling is None or not calling.originated or calling.answered is None:
        return None
    reached = (
        [calling] if calling.real else [each for each in facts.channels.values() if each.name in facts.calling_reached]
    )
    return next((each for each in reached if each.side == "outside"), None)


def bridges_missing(facts: CallFacts, hangup: HangupFacts) -> bool:
    """Whether Dial() says that somebody answered, and not one row of a bridge is there."""
    return hangup.dial_status == "ANSWER" and not facts.bridges_seen
