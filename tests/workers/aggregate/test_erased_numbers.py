"""Results of calls from before an erasure are without the number; results with hashes go beside the others."""

from typing import Any, cast

from faust.types import TP

from schemas import SchemaRegistry, Serializer
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.calls.result_headers import origin_of
from streams.kafka.dead_letters import DeadLetters
from streams.kafka.producer import Message
from streams.privacy.erased import ErasedNumber, ErasedNumbers
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings
from streams.rules import load_rules
from streams.settings import Settings
from streams.workers.aggregate.outgoing_records import OutgoingRecords
from streams.workers.aggregate.steps import CallEnded
from tests.replay.conftest import _recorded

KEY = HashKey("k" * 40)
PLACE = TP("cel2crm.cel", 0)


def serializer() -> Serializer:
    made = Serializer(SchemaRegistry("http://nowhere"))
    for number, name in enumerate(("call_result", "call_leg", "dead_letter"), 1):
        made.add_schema(name, number)
    return made


def sent(erased_at: int | None, **privacy: Any) -> tuple[CallResult, dict[str, list[Message]]]:
    """What a worker sends of a recorded call, whose client was erased at a time relative to its start."""
    live = _recorded()
    result = next(each for each in live.highest.values() if each.client and each.direction == "incoming")
    call, cut_short = live.calls[result.call_id]
    settings = Settings.model_validate({"privacy": {"hash_key": "k" * 40, **privacy}})
    profile = PbxProfile.of(settings)
    known = ErasedNumbers(KEY, Spellings(profile))
    if erased_at is not None:
        record = ErasedNumber(erased_at=result.started_at + erased_at, until=1 << 60, key=KEY.id, by="ann")
        known.take(KEY.of(str(result.client)).encode(), record.encode())
    letters = DeadLetters(cast(Any, None), serializer(), "cel2crm.dead-letters", "aggregate")
    outgoing = OutgoingRecords(settings, load_rules(settings.rules), profile, serializer(), letters, known)
    by_topic: dict[str, list[Message]] = {}
    for message in outgoing.of_ended(CallEnded(call, cut_short, False), PLACE, 1):
        by_topic.setdefault(message[0], []).append(message)
    return result, by_topic


def told(messages: list[Message]) -> CallResult:
    return CallResult.from_record(serializer().decode(cast(bytes, messages[0][2]), "call_result"))


def test_a_call_from_before_is_told_without_the_number() -> None:
    before, by_topic = sent(1)
    result = told(by_topic["cel2crm.call-results"])
    assert (result.client, result.version, result.result) == (None, before.version, before.result)
    assert origin_of(by_topic["cel2crm.call-results"][0][3]) == "erasure"
    digits = str(before.client)[-7:].encode()
    assert not any(digits in (message[2] or b"") for messages in by_topic.values() for message in messages)


def test_a_call_that_began_since_is_another_one() -> None:
    before, by_topic = sent(0)
    assert told(by_topic["cel2crm.call-results"]) == before
    assert origin_of(by_topic["cel2crm.call-results"][0][3]) == "live"
    assert set(by_topic) == {"cel2crm.call-results", "cel2crm.call-legs"}, "no topic of hashes unless it is wanted"


def test_hashes_go_beside_the_result_where_they_are_wanted() -> None:
    before, by_topic = sent(None, hashed_topic=True)
    hashed = told(by_topic["cel2crm.call-results-hashed"])
    assert told(by_topic["cel2crm.call-results"]) == before
    assert hashed.client == KEY.of(str(before.client))[:32]
    assert (hashed.call_id, hashed.version, hashed.result) == (before.call_id, before.version, before.result)
    assert str(before.client)[-7:].encode() not in cast(bytes, by_topic["cel2crm.call-results-hashed"][0][2])
    _, by_topic = sent(1, hashed_topic=True)
    assert told(by_topic["cel2crm.call-results-hashed"]).client is None, "no hash of a number that was erased"
