"""A call with a client, and a key."""

from msgspec.structs import replace

from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult, Classification
from streams.privacy.blanking import Blanking
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings

KEY = HashKey("k" * 40)
SPELLINGS = Spellings(PbxProfile())
CLIENT, OTHER = "+79161234567", "+79160000000"
STARTED = 1_795_389_970_000_000

RESULT = CallResult(
    call_id="pbx1/1795389970.80", pbx="pbx1", linkedid="1795389970.80", version=0, version_row_id=0, version_rows=0,
    rules_hash="r", direction="incoming", answered=True, started_at=STARTED, ended_at=STARTED + 9, utc_offset_seconds=0,
    utc_offset_source="uniqueid", result=200, result_name="Success", rule="cause: 16", extra_usable=True, complete=True,
    answered_by="1002", talked_with=("1001", "89161234567", "1002"), caller="89161234567", called="74950000000",
    caller_e164=CLIENT, called_e164="+74950000000", client=CLIENT, extension="1002", rang_last="1002",
    did="74950000000", trunk="sip-provider", hangup_source="Local/89161234567@from-queue-00000001;1",
    transfers=("1001 transferred to 1002 after asking",), pickups=(),
    why=("89161234567 called 74950000000.", "the trunk gave +7 (916) 123-45-67", "1795389970.80 was linked"),
).stamped(7 << 20 | 12, 7, 12)  # fmt: skip
"""An incoming call of CLIENT."""


def leg(number: str | None, channel: str, **fields: object) -> CallLeg:
    made = CallLeg(RESULT.call_id, RESULT.version, 1, number, channel, STARTED, None, None, None, None, 16, "calling")
    return replace(made, **fields)


CALL = Classification(
    RESULT,
    (
        leg("89161234567", "PJSIP/sip-provider-00000001"),
        leg("1002", "PJSIP/1002-00000002", leg=2),
        leg(None, "Local/89161234567@from-queue-00000001;1", leg=3),
    ),
)


def blanking(*numbers: str) -> Blanking:
    return Blanking(SPELLINGS, set(numbers).__contains__)
