"""`cel2crm topics set-aside`: only what workers stop at, and who did it."""

import msgspec
import pytest

from schemas import own_headers
from streams.delivery.record import Delivery, State
from streams.kafka.set_aside import SetAside
from streams.kafka.topic_client import Outgoing, TopicRecord
from streams.settings import Settings
from tests.operations.memory import Operator, make_operator

DAMAGED = b"\x00\x00\x00\x00\x01damaged"
LOG = "cel2crm.deliveries-kommo"


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    return make_operator(monkeypatch, Settings())


def put(operator: Operator, topic: str, value: bytes | None, schema: str = "delivery") -> str:
    record = operator.topics.put(Outgoing(topic, b"pbx1/7", value, 1, own_headers(schema)))
    return f"{topic}/1/{record.offset}"


def recorded(operator: Operator) -> list[TopicRecord]:
    return operator.topics.logs["cel2crm.set-aside-records", 0]


@pytest.mark.parametrize("topic", [LOG, "cel2crm.aggregate-checkpoints", "cel2crm.portal-states"])
def test_a_record_that_cannot_be_read_is_set_aside(operator: Operator, topic: str) -> None:
    place = put(operator, topic, DAMAGED)
    told = operator.told("topics", "set-aside", place, "--by", "ann", "--note", "disk fault", "--yes")
    assert f"{place} is set aside" in told
    [record] = recorded(operator)
    act = msgspec.json.decode(record.value or b"", type=SetAside)
    assert record.key == place.encode() and (act.by, act.note, act.key) == ("ann", "disk fault", "pbx1/7")


def test_a_delivery_whose_result_is_damaged_is_set_aside(operator: Operator) -> None:
    operator.delivery(Delivery(call_id="pbx1/7", crm="kommo", portal="main", state=State.NEW, result=DAMAGED))
    [place] = [f"{name}/{number}/0" for (name, number), log in operator.topics.logs.items() if log and name == LOG]
    assert f"{place} is set aside" in operator.told("topics", "set-aside", place, "--by", "ann", "--yes")


def test_it_asks_first(operator: Operator) -> None:
    place = put(operator, LOG, DAMAGED)
    assert operator.run("topics", "set-aside", place, "--by", "ann").exit_code != 0
    assert recorded(operator) == []


def test_what_can_be_read_is_not_set_aside(operator: Operator) -> None:
    operator.delivery(Delivery(call_id="pbx1/7", crm="kommo", portal="main", state=State.NEW))
    [place] = [f"{name}/{number}/0" for (name, number), log in operator.topics.logs.items() if log and name == LOG]
    assert "can be read" in str(operator.run("topics", "set-aside", place, "--yes").exception)
    assert recorded(operator) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("3/1207", "is not TOPIC/PARTITION/OFFSET"),
        (f"{LOG}/1/x", "is not TOPIC/PARTITION/OFFSET"),
        ("cel2crm.call-results/1/0", "is not a topic of the workers' memory"),
        (f"{LOG}/1/7", "holds no record at offset 7"),
        (f"{LOG}/99/0", "holds no record at offset 0"),
    ],
)
def test_other_places_are_refused_with_words(operator: Operator, place: str, words: str) -> None:
    put(operator, LOG, DAMAGED)
    assert words in str(operator.run("topics", "set-aside", place, "--yes").exception)
    assert recorded(operator) == []
