"""Media channels to programs (ARI external media, AudioSocket, WebSocket): a voice bot is nobody."""

import pytest

from streams.calls.classify import facts_and_result
from streams.calls.pbx_profile import PbxProfile
from streams.explain.narrative import narrate
from tests.calls.tables import EPOCH, RULES, cel, folded, outcome

MEDIA = (
    "UnicastRTP/127.0.0.1:9998-0x7f20c0012340",
    "UnicastRTP/[::1]:40012-0x55d0",
    "AudioSocket/127.0.0.1:9092-7a3c1e",
    "WebSocket/connection1-0x7f20c0012340",
    "WebSocket/INCOMING/connection2-0x1",
)
MIX = 'extra={"bridge_id":"m","bridge_technology":"simple_bridge"}'
WITH_BOT = """
    0  start  {caller} 0 num=79161234567 exten=74951001001 context=from-trunk
    0  answer {caller} 0 app=Stasis
    1  start  {media} 1 context=default
    1  answer {media} 1
    1  enter  {caller} 0 {mix}
    1  enter  {media} 1 peer={caller} {mix}
"""
BOT_LEAVES = """
    20 exit   {media} 1 peer={caller} {mix}
    20 hangup {media} 1 cause=16
    20 end    {media} 1
"""
CALLER_LEAVES = """
    40 exit   {caller} 0 {mix}
    40 hangup {caller} 0 cause=16 source={caller}
    40 end    {caller} 0
    40 over   {caller} 0
"""
AGENT_RINGS = """
    21 start  PJSIP/1001-04 2 num=1001 context=from-internal app=AppDial2
"""
AGENT_IN_VAIN = """
    39 hangup PJSIP/1001-04 2 cause=16
    39 end    PJSIP/1001-04 2
"""
AGENT_ANSWERS = """
    25 answer PJSIP/1001-04 2
    25 enter  PJSIP/1001-04 2 peer={caller} {mix}
    40 exit   PJSIP/1001-04 2 peer={caller} {mix}
    40 hangup PJSIP/1001-04 2 cause=16
    40 end    PJSIP/1001-04 2
"""
CALLERS = ("PJSIP/carrier-03", "SIP/carrier-0000001a", "DAHDI/i1/79161234567-1a", "IAX2/carrier-99")


def told(*parts: str, media: str = MEDIA[0], caller: str = CALLERS[0]) -> str:
    return "".join(parts).format(media=media, caller=caller, mix=MIX)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_bot_alone_is_nobody(media: str, caller: str) -> None:
    call = outcome(told(WITH_BOT, BOT_LEAVES, CALLER_LEAVES, media=media, caller=caller))
    assert (call.direction, call.answered, call.answered_by, call.talked_with) == ("incoming", False, None, ())
    assert (call.handled_by, call.talk_seconds) == ("bot", 0.0)


@pytest.mark.parametrize("media", MEDIA)
def test_a_bot_and_an_agent_who_does_not_answer_are_a_missed_call(media: str) -> None:
    call = outcome(told(WITH_BOT, BOT_LEAVES, AGENT_RINGS, AGENT_IN_VAIN, CALLER_LEAVES, media=media))
    assert (call.answered, call.answered_by, call.handled_by, call.rang_last) == (False, None, "bot", "1001")


@pytest.mark.parametrize("media", MEDIA)
def test_of_a_bot_and_an_agent_the_agent_talked(media: str) -> None:
    call = outcome(told(WITH_BOT, BOT_LEAVES, AGENT_RINGS, AGENT_ANSWERS, CALLER_LEAVES, media=media))
    assert (call.answered, call.answered_by, call.talked_with, call.extension) == (True, "1001", ("1001",), "1001")
    assert (call.talk_seconds, call.handled_by) == (15.0, None)


def test_a_program_that_listens_to_a_talk_of_people_changes_nothing() -> None:
    call = outcome(told(WITH_BOT, AGENT_RINGS, AGENT_ANSWERS, BOT_LEAVES.replace("20", "40"), CALLER_LEAVES))
    assert (call.answered, call.talked_with, call.talk_seconds) == (True, ("1001",), 15.0)


@pytest.mark.parametrize("media", MEDIA)
def test_dial_to_a_program_is_answered_by_nobody_whatever_the_dial_status_says(media: str) -> None:
    call = outcome(f"""
        0  start     PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  app_start PJSIP/carrier-03 0 exten=s context=ivr-1 app=Dial appdata=AudioSocket/10.0.0.5:9092/c0ffee
        1  start     {media} 1
        1  answer    {media} 1 app=AppDial
        1  answer    PJSIP/carrier-03 0 app=Dial
        1  enter     {media} 1 app=AppDial
        1  enter     PJSIP/carrier-03 0 app=Dial peer={media}
        9  exit      PJSIP/carrier-03 0 app=Dial peer={media}
        9  hangup    {media} 1 cause=16
        9  end       {media} 1
        9  hangup    PJSIP/carrier-03 0 cause=16/ANSWER
        9  end       PJSIP/carrier-03 0
        9  over      PJSIP/carrier-03 0
    """)
    assert (call.answered, call.talked_with, call.handled_by) == (False, (), "bot")


def test_the_application_that_leads_a_callers_sound_to_a_program_is_a_bot() -> None:
    call = outcome("""
        0  start     SIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  answer    SIP/carrier-03 0
        0  app_start SIP/carrier-03 0 exten=s context=ivr-1 app=AudioSocket appdata=c0ffee,10.0.0.5:9092
        9  hangup    SIP/carrier-03 0 cause=16
        9  end       SIP/carrier-03 0
        9  over      SIP/carrier-03 0
    """)
    assert (call.answered, call.handled_by) == (False, "bot")


@pytest.mark.parametrize("media", MEDIA)
def test_a_client_whom_a_bot_called_answered_and_the_bot_did_not(media: str) -> None:
    call = outcome(f"""
        0  start  PJSIP/carrier-03 0 num=79161234567 context=from-trunk app=AppDial2
        5  answer PJSIP/carrier-03 0 num=79161234567 app=AppDial2
        5  start  {media} 1
        5  enter  PJSIP/carrier-03 0 app=Stasis {MIX}
        5  enter  {media} 1 peer=PJSIP/carrier-03 {MIX}
        25 exit   PJSIP/carrier-03 0 peer={media} {MIX}
        25 hangup PJSIP/carrier-03 0 cause=16
        25 end    PJSIP/carrier-03 0
        25 over   PJSIP/carrier-03 0
    """)
    assert (call.direction, call.answered, call.answered_by, call.talk_seconds) == ("outgoing", True, "carrier", 20.0)


def test_a_call_that_a_programs_channel_began_is_told_by_the_first_channel_of_a_person() -> None:
    call = outcome(f"""
        0  start  AudioSocket/127.0.0.1:9092-7a 0
        1  start  PJSIP/carrier-03 1 num=79161234567 context=from-trunk app=AppDial2
        5  answer PJSIP/carrier-03 1 num=79161234567 app=AppDial2
        5  enter  PJSIP/carrier-03 1 app=Stasis {MIX}
        5  enter  AudioSocket/127.0.0.1:9092-7a 0 peer=PJSIP/carrier-03 {MIX}
        25 hangup PJSIP/carrier-03 1 cause=16
        25 end    PJSIP/carrier-03 1
        25 over   PJSIP/carrier-03 1
    """)
    assert (call.direction, call.answered, call.result, call.warnings) == ("outgoing", True, 200, ())


def test_two_in_a_queue_with_a_bot_before_it_talk() -> None:
    queue = """
        21 app_start PJSIP/carrier-03 0 exten=400 context=ext-queues app=Queue appdata=400
    """
    vain = outcome(told(WITH_BOT, BOT_LEAVES, queue, AGENT_RINGS, AGENT_IN_VAIN, CALLER_LEAVES))
    assert (vain.answered, vain.handled_by) == (False, "queue")
    talked = outcome(told(WITH_BOT, BOT_LEAVES, queue, AGENT_RINGS, AGENT_ANSWERS, CALLER_LEAVES))
    assert (talked.answered, talked.answered_by) == (True, "1001")


def test_the_story_tells_of_the_bot() -> None:
    facts, result = facts_and_result(
        folded(cel(told(WITH_BOT, BOT_LEAVES, AGENT_RINGS, AGENT_IN_VAIN, CALLER_LEAVES))), RULES, PbxProfile()
    )
    story = [moment.text for moment in narrate(facts, result, PbxProfile()).moments]
    assert "a bot took the call" in story
    assert not any("UnicastRTP" in text or "127.0.0.1" in text for text in story)


@pytest.mark.parametrize("first", [0, 1], ids=["the program enters first", "the caller enters first"])
def test_a_bot_is_told_by_either_row(first: int) -> None:
    channels = (("PJSIP/carrier-03", 0), ("UnicastRTP/127.0.0.1:9998-0x1", 1))
    (one, n), (two, m) = channels if first else channels[::-1]
    rows = cel(f"""
        0  start  PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start  UnicastRTP/127.0.0.1:9998-0x1 1
        1  enter  {one} {n} {MIX}
        1  enter  {two} {m} peer={one} {MIX}
        9  exit   {one} {n} peer={two} {MIX}
        9  exit   {two} {m} {MIX}
        9  hangup PJSIP/carrier-03 0 cause=16
        9  end    PJSIP/carrier-03 0
        9  over   PJSIP/carrier-03 0
    """)
    facts, call = facts_and_result(folded(rows), RULES, PbxProfile())
    assert (call.answered, call.handled_by) == (False, "bot")
    assert facts.automata == [((EPOCH + 1) * 1_000_000, "bot")]


def test_a_program_that_writes_down_what_a_snoop_channel_hears_is_no_bot() -> None:
    call = outcome(f"""
        0  start     PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  app_start PJSIP/carrier-03 0 exten=400 context=ext-queues app=Queue appdata=400
        1  start     Snoop/1795389780.0-01 1
        1  start     UnicastRTP/127.0.0.1:9998-0x1 2
        1  enter     UnicastRTP/127.0.0.1:9998-0x1 2 {MIX}
        1  enter     Snoop/1795389780.0-01 1 peer=UnicastRTP/127.0.0.1:9998-0x1 {MIX}
        1  start     PJSIP/1001-04 3 num=1001 context=from-internal
        9  hangup    PJSIP/1001-04 3 cause=16
        9  end       PJSIP/1001-04 3
        9  hangup    PJSIP/carrier-03 0 cause=16/NOANSWER
        9  end       PJSIP/carrier-03 0
        9  over      PJSIP/carrier-03 0
    """)
    assert (call.answered, call.handled_by, call.result) == (False, "queue", 408)


def test_a_bot_behind_a_local_channel_is_a_bot() -> None:
    call = outcome("""
        0  start     PJSIP/carrier-03 0 num=79161234567 exten=74951001001 context=from-trunk
        0  app_start PJSIP/carrier-03 0 exten=s context=ivr-1 app=Dial appdata=Local/bot@bots
        0  start     Local/bot@bots-01;1 1 context=bots
        0  start     Local/bot@bots-01;2 2 context=bots exten=bot
        1  answer    Local/bot@bots-01;2 2
        1  app_start Local/bot@bots-01;2 2 context=bots app=AudioSocket appdata=c0ffee,10.0.0.5:9092
        1  answer    Local/bot@bots-01;1 1
        1  enter     Local/bot@bots-01;1 1
        1  enter     PJSIP/carrier-03 0 peer=Local/bot@bots-01;1
        9  exit      PJSIP/carrier-03 0 peer=Local/bot@bots-01;1
        9  end       Local/bot@bots-01;1 1
        9  end       Local/bot@bots-01;2 2
        9  hangup    PJSIP/carrier-03 0 cause=16/ANSWER
        9  end       PJSIP/carrier-03 0
        9  over      PJSIP/carrier-03 0
    """)
    assert (call.answered, call.handled_by) == (False, "bot")
