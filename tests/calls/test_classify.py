"""Rules of classifying that the recordings do not hold, as rows in and outcome out."""

import msgspec
import pytest

from streams.calls.pbx_profile import PbxProfile
from streams.rows.row import CelRow
from streams.rules import load_rules
from streams.settings import DatabaseSettings, NumberSettings, RuleSettings, Settings
from tests.calls.tables import cel, classified, hangup, outcome

ANSWERED = """
    0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
    1  start   PJSIP/1001-02   1 exten=s context=from-internal
    3  answer  PJSIP/1001-02   1 num=1001 app=AppDial
    3  enter   PJSIP/1001-02   1
    3  enter   PJSIP/trunk1-01 0 peer=PJSIP/1001-02
    9  exit    PJSIP/trunk1-01 0 peer=PJSIP/1001-02
    9  exit    PJSIP/1001-02   1
    9  hangup  PJSIP/1001-02   1 cause=16
    9  end     PJSIP/1001-02   1
    9  hangup  PJSIP/trunk1-01 0 cause={cause}
    9  end     PJSIP/trunk1-01 0
    9  over    PJSIP/trunk1-01 0
"""


def test_answered_call_has_its_parties_and_durations() -> None:
    call = outcome(ANSWERED.format(cause="16/ANSWER"))
    assert (call.direction, call.answered, call.answered_by, call.talked_with) == ("incoming", True, "1001", ("1001",))
    assert (call.caller, call.client, call.called, call.did) == (
        "79161234567", "+79161234567", "74951001001", "74951001001",
    )  # fmt: skip
    assert (call.ringing_seconds, call.talk_seconds, call.result) == (2.0, 6.0, 200)
    assert call.complete


@pytest.mark.parametrize("cause", ["19/ANSWER", "17/BUSY", "127/CANCEL", "0/"])
def test_a_talk_that_lasted_until_hangup_is_a_success_whatever_the_cause(cause: str) -> None:
    assert outcome(ANSWERED.format(cause=cause)).result == 200


def test_literal_preset_lets_the_table_decide_after_a_talk() -> None:
    literal = load_rules(RuleSettings(preset="literal"))
    assert outcome(ANSWERED.format(cause="19/ANSWER"), rules=literal).result == 480


def test_after_a_talk_a_failed_transfer_is_decided_by_the_table() -> None:
    call = outcome("""
        0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start   PJSIP/1001-02   1 exten=s context=from-internal
        3  answer  PJSIP/1001-02   1 num=1001 app=AppDial
        3  enter   PJSIP/1001-02   1
        3  enter   PJSIP/trunk1-01 0 peer=PJSIP/1001-02
        8  blindtransfer PJSIP/1001-02 1 extra={"extension":"1002"}
        8  exit    PJSIP/1001-02   1 peer=PJSIP/trunk1-01
        8  hangup  PJSIP/1001-02   1 cause=16
        8  end     PJSIP/1001-02   1
        8  exit    PJSIP/trunk1-01 0
        8  start   PJSIP/1002-03   2 exten=s context=from-internal
        9  hangup  PJSIP/1002-03   2 cause=17
        9  end     PJSIP/1002-03   2
        9  hangup  PJSIP/trunk1-01 0 cause=17/ANSWER
        9  end     PJSIP/trunk1-01 0
        9  over    PJSIP/trunk1-01 0
    """)
    assert (call.answered, call.result, call.talked_with) == (True, 486, ("1001",))
    assert call.transfers == ("1001 transferred to 1002",)


SENT_ON = """
    0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
    1  start   PJSIP/1001-02   1 exten=s context=from-internal
    3  answer  PJSIP/1001-02   1 num=1001 app=AppDial
    3  enter   PJSIP/1001-02   1
    3  enter   PJSIP/trunk1-01 0 peer=PJSIP/1001-02
    9  blindtransfer PJSIP/1001-02 1 extra={{"transferee_channel_uniqueid":"1795389780.{transferee}"}}
    9  exit    {first} peer={peer}
    9  exit    {second}
    9  hangup  PJSIP/1001-02   1 cause=16
    9  end     PJSIP/1001-02   1
    {back}
    10 hangup  PJSIP/trunk1-01 0 cause=19/ANSWER
    10 end     PJSIP/trunk1-01 0
    10 over    PJSIP/trunk1-01 0
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [("PJSIP/1001-02 1", "PJSIP/trunk1-01 0"), ("PJSIP/trunk1-01 0", "PJSIP/1001-02 1")],
)
@pytest.mark.parametrize("peer", ["", "yes"])
def test_after_a_blind_transfer_to_nobody_the_table_decides(first: str, second: str, peer: str) -> None:
    peer = second.split(maxsplit=1)[0] if peer else ""
    call = outcome(SENT_ON.format(first=first, second=second, peer=peer, transferee=0, back=""))
    assert (call.answered, call.result) == (True, 480)


def test_a_call_file_through_a_local_channel_succeeds_when_its_trunk_answered_after_the_attempt() -> None:
    rows = """
        0  start   Local/89161234567@out-01;1 0
        0  start   Local/89161234567@out-01;2 1 exten=89161234567 context=from-internal
        1  app_start Local/89161234567@out-01;2 1 app=Dial
        1  start   PJSIP/trunk1-02  2 num=89161234567 context=from-trunk
        4  answer  PJSIP/trunk1-02  2 num=89161234567 app=AppDial
        4  answer  Local/89161234567@out-01;2 1 app=Dial
        4  answer  Local/89161234567@out-01;1 0 app=AppDial2
        4  enter   PJSIP/trunk1-02  2
        4  enter   Local/89161234567@out-01;2 1 peer=PJSIP/trunk1-02
        {later}
        9  hangup  Local/89161234567@out-01;1 0 cause=19/ANSWER
        9  over    Local/89161234567@out-01;1 0
    """
    call = outcome(rows.format(later=""))
    assert (call.answered, call.result) == (True, 200)
    call = outcome(rows.format(later="6 start PJSIP/1001-05 7 num=1001 context=from-internal"))
    assert (call.answered, call.result) == (True, 480)  # it was then sent on to an extension, in vain


def test_who_comes_back_from_a_blind_transfer_and_talks_is_a_success() -> None:
    sides = {"first": "PJSIP/1001-02 1", "second": "PJSIP/trunk1-01 0", "peer": "PJSIP/trunk1-01", "transferee": 0}
    back = "\n".join(
        ["9 enter PJSIP/1003-07 7", "9 enter PJSIP/trunk1-01 0 peer=PJSIP/1003-07", "10 exit PJSIP/trunk1-01 0"]
    )
    assert outcome(SENT_ON.format(**sides, back=back)).result == 200


def test_a_blind_transfer_of_somebody_else_is_no_attempt_of_the_caller() -> None:
    sides = {"first": "PJSIP/1001-02 1", "second": "PJSIP/trunk1-01 0", "peer": "PJSIP/trunk1-01", "back": ""}
    assert outcome(SENT_ON.format(**sides, transferee=77)).result == 200


@pytest.mark.parametrize("app", ["VoiceMail", "Queue", "Playback", "ConfBridge"])
def test_a_machine_is_nobody(app: str) -> None:
    call = outcome(f"""
        0  start     PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  answer    PJSIP/trunk1-01 0 app={app}
        1  app_start PJSIP/trunk1-01 0 app={app}
        9  app_end   PJSIP/trunk1-01 0 app={app}
        9  hangup    PJSIP/trunk1-01 0 cause=16
        9  end       PJSIP/trunk1-01 0
        9  over      PJSIP/trunk1-01 0
    """)
    assert (call.answered, call.answered_by, call.talk_seconds, call.result) == (False, None, 0.0, 200)
    assert load_rules().tables["bitrix24"].status(call).code == "304"


def test_voicemail_behind_a_local_channel_is_nobody_though_dial_status_says_answer() -> None:
    call = outcome("""
        0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start   Local/700@q-01;1 1 exten=s context=from-internal
        1  start   Local/700@q-01;2 2 exten=700 context=from-internal
        2  answer  Local/700@q-01;2 2 app=VoiceMail
        2  answer  Local/700@q-01;1 1
        2  enter   Local/700@q-01;1 1
        2  enter   PJSIP/trunk1-01 0 peer=Local/700@q-01;1
        9  exit    PJSIP/trunk1-01 0 peer=Local/700@q-01;1
        9  hangup  PJSIP/trunk1-01 0 cause=16/ANSWER
        9  end     PJSIP/trunk1-01 0
        9  end     Local/700@q-01;1 1
        9  end     Local/700@q-01;2 2
        9  over    PJSIP/trunk1-01 0
    """)
    assert (call.answered, call.talked_with, call.handled_by) == (False, (), "voicemail")


def test_a_conference_announcer_is_nobody_but_another_caller_is_somebody() -> None:
    alone = """
        0  start   PJSIP/1001-01 0 num=1001 exten=800 context=from-internal
        1  enter   PJSIP/1001-01 0 app=ConfBridge peer=CBAnn/800-01;2
        {joined}
        9  exit    PJSIP/1001-01 0 app=ConfBridge peer={peers}
        9  hangup  PJSIP/1001-01 0 cause=16
        9  end     PJSIP/1001-01 0
        9  over    PJSIP/1001-01 0
    """
    assert not outcome(alone.format(joined="", peers="CBAnn/800-01;2")).answered
    together = outcome(alone.format(joined="", peers="CBAnn/800-01;2,PJSIP/1002-05"))
    assert (together.answered, together.talked_with) == (True, ("1002",))


def test_without_bridge_rows_the_dial_status_decides_where_the_operator_says_so() -> None:
    rows = """
        0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start   PJSIP/1001-02   1 exten=s context=from-internal
        3  answer  PJSIP/1001-02   1 num=1001 app=AppDial
        9  hangup  PJSIP/1001-02   1 cause=16
        9  end     PJSIP/1001-02   1
        9  hangup  PJSIP/trunk1-01 0 cause=16/ANSWER
        9  end     PJSIP/trunk1-01 0
        9  over    PJSIP/trunk1-01 0
    """
    call = outcome(rows, profile=PbxProfile(bridges_logged=False))
    assert (call.answered, call.talked_with, call.talk_seconds) == (True, ("1001",), 6.0)
    silent = outcome(rows)
    assert not silent.answered
    assert any("aggregate.bridges_logged" in sentence for sentence in silent.why)


@pytest.mark.parametrize(
    "extra",
    ["", "16", "null", "[16]", '{"hangupcause":"16"}', '{"hangupcause":128}', '{"hangupcause":-1}',
     '{"hangupcause":NaN}', '{"hangupcause":true}', "{", '{"a":' * 5000, "x" * 4096],
)  # fmt: skip
@pytest.mark.parametrize("talked", [True, False])
def test_unusable_extra_is_the_old_way(extra: str, talked: bool) -> None:
    lines = ANSWERED.format(cause="16/ANSWER").splitlines()
    rows = cel("\n".join(line for line in lines if talked or ("enter" not in line and "exit" not in line)))
    rows = [row if row.eventtype != "HANGUP" else with_extra(row, extra) for row in rows]
    call = outcome(rows)
    assert (call.result, call.extra_usable, call.answered) == (0, False, talked)
    assert load_rules().tables["bitrix24"].status(call).code == ("200" if talked else "304")
    assert load_rules().tables["kommo"].status(call) == ((4, None) if talked else (6, None))


def with_extra(row: CelRow, extra: str) -> CelRow:
    return msgspec.structs.replace(row, extra=extra)


def test_the_alias_asks_for_the_old_way_for_every_call() -> None:
    settings = Settings(database=DatabaseSettings(column_name_aliases={"cel_extra": "id"}))
    call = outcome(ANSWERED.format(cause="19/ANSWER"), profile=PbxProfile.of(settings))
    assert (call.result, call.extra_usable, call.answered) == (0, False, True)


def test_a_colleague_asked_in_vain_is_no_attempt_of_the_caller() -> None:
    # Picked up from a group (cause 19 stays), then the agent asks a colleague while the caller waits in the bridge.
    call = outcome("""
        0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start   PJSIP/1001-02   1 context=from-internal
        3  enter   PJSIP/1001-02   1
        3  enter   PJSIP/trunk1-01 0 peer=PJSIP/1001-02
        8  exit    PJSIP/1001-02   1 peer=PJSIP/trunk1-01
        8  start   PJSIP/1002-03   2 context=from-internal
        9  exit    PJSIP/trunk1-01 0
        9  hangup  PJSIP/trunk1-01 0 cause=19/ANSWER
        9  end     PJSIP/trunk1-01 0
        9  over    PJSIP/trunk1-01 0
    """)
    assert (call.answered, call.result) == (True, 200)


def test_what_a_transferred_party_tries_later_is_no_attempt_of_the_caller() -> None:
    call = outcome("""
        0  start   PJSIP/1001-01   0 num=1001 exten=79161234567 context=from-internal
        1  start   PJSIP/trunk1-02 1 context=from-trunk
        3  enter   PJSIP/trunk1-02 1
        3  enter   PJSIP/1001-01   0 peer=PJSIP/trunk1-02
        8  blindtransfer PJSIP/1001-01 0 extra={"extension":"1002"}
        8  exit    PJSIP/1001-01   0 peer=PJSIP/trunk1-02
        8  start   PJSIP/1002-03   2 context=from-internal
        9  hangup  PJSIP/1001-01   0 cause=19/ANSWER
        9  end     PJSIP/1001-01   0
        12 end     PJSIP/1002-03   2
        12 end     PJSIP/trunk1-02 1
        12 over    PJSIP/trunk1-02 1
    """)
    assert (call.answered, call.result) == (True, 200)


def test_who_picked_a_call_up_from_a_call_of_his_own_has_a_leg_that_talked() -> None:
    call = classified("""
        0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start   PJSIP/1001-02   1 context=from-internal
        3  pickup  PJSIP/1001-02   1 extra={"pickup_channel":"PJSIP/1002-03"}
        3  hangup  PJSIP/1001-02   1 cause=26
        3  end     PJSIP/1001-02   1
        3  enter   PJSIP/trunk1-01 0 peer=PJSIP/1002-03
        9  exit    PJSIP/trunk1-01 0 peer=PJSIP/1002-03
        9  exit    PJSIP/1002-03   2
        9  hangup  PJSIP/1002-03   2 cause=16
        9  end     PJSIP/1002-03   2
        9  hangup  PJSIP/trunk1-01 0 cause=16/ANSWER
        9  end     PJSIP/trunk1-01 0
        9  over    PJSIP/trunk1-01 0
    """)
    assert [(leg.number, leg.outcome, leg.ring_seconds, leg.talk_seconds) for leg in call.legs][1:] == [
        ("1001", "answered elsewhere", 2.0, 0.0),
        ("1002", "answered", None, 6.0),
    ]
    assert (call.result.answered_by, call.result.rang_last) == ("1002", "1001")
    assert call.result.pickups == ("1002 picked up for 1001",)


def test_a_piece_says_which_call_it_went_into_where_a_transfer_names_one() -> None:
    piece = outcome("""
        0  start   PJSIP/1001-04 7 num=1001 exten=1002 context=from-internal
        1  start   PJSIP/1002-05 8 context=from-internal
        3  enter   PJSIP/1002-05 8
        3  enter   PJSIP/1001-04 7 peer=PJSIP/1002-05
        5  attendedtransfer PJSIP/1001-04 7 extra={"channel2_uniqueid":"1795389701.10","transferee_channel_uniqueid":"1795389701.9"}
        5  over    PJSIP/1001-04 7
    """)  # noqa: E501
    assert (piece.abandoned, piece.part_of) == (True, "1795389701.9")


def test_a_call_without_an_end_is_cut_short_and_says_so() -> None:
    rows = cel(ANSWERED.format(cause="16/ANSWER"))[:5]
    call = outcome(rows, cut_short=True)
    assert (call.complete, call.answered, call.result) == (False, True, 0)
    assert call.incomplete_reason is not None


def test_an_abandoned_piece_is_told_from_a_call() -> None:
    piece = outcome("""
        0  start     PJSIP/1002-01 0 num=1002 exten=*81001 context=from-internal
        0  app_start PJSIP/1002-01 0 app=Pickup
        0  answer    PJSIP/1002-01 0 app=Pickup
        0  enter     PJSIP/1002-01 0
        0  over      PJSIP/1002-01 0
    """)
    assert (piece.abandoned, piece.direction, piece.answered) == (True, "internal", False)


def test_legs_of_a_ring_group_say_what_became_of_each_phone() -> None:
    legs = classified("""
        0  start   PJSIP/trunk1-01 0 num=79161234567 exten=74951001001 context=from-trunk
        1  start   PJSIP/1001-02   1 context=from-internal
        1  start   PJSIP/1002-03   2 context=from-internal
        1  start   PJSIP/1003-04   3 context=from-internal
        2  hangup  PJSIP/1003-04   3 cause=17
        2  end     PJSIP/1003-04   3
        4  answer  PJSIP/1002-03   2 num=1002 app=AppDial
        4  hangup  PJSIP/1001-02   1 cause=26
        4  end     PJSIP/1001-02   1
        4  enter   PJSIP/1002-03   2
        4  enter   PJSIP/trunk1-01 0 peer=PJSIP/1002-03
        9  exit    PJSIP/trunk1-01 0 peer=PJSIP/1002-03
        9  hangup  PJSIP/1002-03   2 cause=16
        9  end     PJSIP/1002-03   2
        9  hangup  PJSIP/trunk1-01 0 cause=16/ANSWER
        9  end     PJSIP/trunk1-01 0
        9  over    PJSIP/trunk1-01 0
    """).legs
    assert [(leg.number, leg.outcome, leg.ring_seconds) for leg in legs] == [
        ("79161234567", "calling", None),
        ("1001", "answered elsewhere", 3.0),
        ("1002", "answered", 3.0),
        ("1003", "busy", 1.0),
    ]


@pytest.mark.parametrize(
    ("channel", "num", "exten", "context", "numbers", "direction"),
    [
        ("PJSIP/trunk1-01", "79161234567", "74951001001", "from-pstn-e164-us", {}, "incoming"),
        ("SIP/voip-provider-01", "79161234567", "s", "custom", {}, "incoming"),  # by the length of the number
        ("SIP/voip-provider-01", "", "s", "custom", {}, "unknown"),
        ("SIP/voip-provider-01", "", "s", "custom", {"trunks": ["voip-*"]}, "incoming"),
        ("PJSIP/1001-01", "1001", "79161234567", "from-internal", {}, "outgoing"),
        ("PJSIP/1001-01", "1001", "1002", "from-internal", {}, "internal"),
        ("PJSIP/1001-01", "1001", "*97", "from-internal", {}, "internal"),
        ("PJSIP/trunk1-01", "79161112233", "1002", "from-trunk", {"internal_patterns": ["7916111\\d+"]}, "internal"),
        ("PJSIP/70001-01", "70001", "70002", "custom", {"internal_digits": 5}, "internal"),
    ],
)
def test_direction(
    channel: str, num: str, exten: str, context: str, numbers: dict[str, object], direction: str
) -> None:
    profile = PbxProfile.of(Settings(numbers=NumberSettings.model_validate(numbers)))
    call = outcome(
        f"""
        0  start   {channel} 0 num={num} exten={exten} context={context}
        9  hangup  {channel} 0 cause=16
        9  end     {channel} 0
        9  over    {channel} 0
        """,
        profile=profile,
    )
    assert call.direction == direction
    assert call.why[0].startswith(direction) or call.why[0].startswith("direction unknown")


@pytest.mark.parametrize(
    ("number", "normalised"),
    [
        ("79161234567", "+79161234567"),
        ("89161234567", "+79161234567"),
        ("+7 (916) 123-45-67", "+79161234567"),
        ("sip:79161234567@provider.example", "+79161234567"),
        ("+4930123456", "+4930123456"),
        ("112", "112"),
        ("anonymous", None),
        ("", None),
        ("Restricted", None),
        ("<script>", None),
    ],
)
def test_outside_numbers_become_what_a_crm_can_use(number: str, normalised: str | None) -> None:
    assert PbxProfile().normalised_number(number) == normalised


def test_hangup_extra_reads_answered_as_answer() -> None:
    rows = cel(ANSWERED.format(cause="16/ANSWER"))
    rows = [with_extra(row, hangup(16, "ANSWERED")) if row.eventtype == "HANGUP" else row for row in rows]
    assert outcome(rows).dial_status == "ANSWER"
