"""`cel2crm deliver` as a person calls it."""

import pytest
from msgspec.structs import replace

from streams.delivery.record import Action
from streams.errors import UserError
from tests.crm.calls import call_result
from tests.operations.memory import Operator

RESULT = call_result(1)
CALL = RESULT.call_id


def test_the_owner_is_sent_the_newest_result(operator: Operator) -> None:
    newest = replace(RESULT, version=RESULT.version + 1)
    for result in (RESULT, newest, RESULT, call_result(2)):
        record = operator.result(result)
    operator.told("deliver", RESULT.linkedid, "--by", "ann", "--note", "lost")
    commands = operator.commands()
    assert [(each.crm, each.call_id, each.action, each.by) for each in commands] == [
        ("bitrix24", CALL, Action.DELIVER, "ann"),
        ("kommo", CALL, Action.DELIVER, "ann"),
    ]
    assert {operator.serializer.decode(each.result)["version"] for each in commands} == {newest.version}
    assert commands[0].source_topic == record.topic


def test_only_to_one_crm(operator: Operator) -> None:
    operator.result(RESULT)
    assert "ordered: " + CALL + " at kommo" in operator.told("deliver", CALL, "--crm", "kommo")
    assert [each.crm for each in operator.commands()] == ["kommo"]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"portals": []}, "no portal gets the calls of PBX pbx1"),
        ({"portals": [{"name": "s", "crm": "kommo", "pbxs": ["south"]}]}, "no portal gets the calls of PBX pbx1"),
        ({"portals": [{"name": "s", "crm": "kommo", "shadow": True}]}, "portal s is a shadow"),
    ],
)
def test_where_nobody_takes_it_nothing_is_ordered(operator: Operator, said: str) -> None:
    operator.result(RESULT)
    error = operator.run("deliver", CALL).exception
    assert isinstance(error, UserError) and said in error.problem and error.remedy
    assert operator.commands() == []


def test_a_call_without_a_result_is_said_with_the_remedy(operator: Operator) -> None:
    operator.result(RESULT)
    error = operator.run("deliver", CALL, "9.9").exception
    assert isinstance(error, UserError) and "no result of call 9.9" in error.problem and "backfill" in error.remedy
    assert operator.commands() == []
