"""Whether a person on the other side talked (call-status.md, section 2)."""

from streams.calls.direction import side_of
from streams.calls.fold import CallFacts, Channel
from streams.calls.hangup import HangupFacts
from streams.calls.pbx_profile import PbxProfile


def is_answered(story: CallFacts, profile: PbxProfile, hangup: HangupFacts) -> tuple[bool, str]:
    """Whether a person on the other side talked, and what says so."""
    if story.root is None:
        return False, "not answered: no calling channel"
    if story.root_answered:
        seen = (
            "at the same time as another person's (no row names a peer)" if story.peerless else "with another person's"
        )
        return True, f"answered: the calling channel was in a bridge {seen}, last at row {story.root_talk_row}"
    if called := called_by_asterisk(story, profile):
        return True, f"answered: Asterisk called {called.endpoint}, and it answered"
    if not profile.bridges_logged:
        answered = hangup.dial_status == "ANSWER"
        return answered, f"{'' if answered else 'not '}answered: no BRIDGE rows are logged, the dial status decides"
    if bridges_missing(story, hangup):
        return False, (
            "not answered: dial status is ANSWER, but no row shows a bridge; "
            "if cel.conf logs no BRIDGE events, set aggregate.bridges_logged: false"
        )
    return False, "not answered: the calling channel was never in a bridge with another person's"


def assume_talks(story: CallFacts) -> None:
    """Where the PBX logs no bridges: who answered talked, until he hung up."""
    root = story.root
    called = [each for each in story.channels.values() if each.real and each is not root and each.answered is not None]
    for channel in called:
        channel.talks = [[channel.answered or 0, channel.ended or story.last]]
    if root is not None and root.real and called:
        root.talks = [[min(each.talks[0][0] for each in called), root.ended or story.last]]


def called_by_asterisk(story: CallFacts, profile: PbxProfile) -> Channel | None:
    """The trunk channel that Asterisk itself originated, and that answered: the person called is on it.

    Called through a Local channel, which then began the call, it is the trunk that this was connected with.
    """
    root = story.root
    if root is None or not root.originated or root.answered is None:
        return None
    reached = [root] if root.real else [each for each in story.channels.values() if each.name in story.root_reached]
    return next((each for each in reached if side_of(each, profile)[0] == "outside"), None)


def bridges_missing(story: CallFacts, hangup: HangupFacts) -> bool:
    """Dial() says that somebody answered, and not one row of a bridge is there."""
    return hangup.dial_status == "ANSWER" and not story.bridges_seen
