"""What commands leave in the schema registry: nothing, where they only read."""

import pytest

from tests.crm.calls import call_result
from tests.operations.memory import Operator
from tests.operations.test_dead_letters import late, refused

CALL = call_result(1).call_id


@pytest.mark.parametrize(
    "command",
    [
        ("deliveries",),
        ("deliveries", CALL),
        ("results",),
        ("results", "--complete-until"),
        ("missed",),
        ("report",),
        ("dead-letters", "list"),
        ("dead-letters", "show", CALL),
        ("portal", "status", "main"),
        ("portal", "unmatched", "main"),
        ("portal", "enable", "main"),
        ("dead-letters", "retry", "--component", "aggregate"),
    ],
)
def test_a_command_that_only_reads_registers_nothing(operator: Operator, command: tuple[str, ...]) -> None:
    refused(operator)
    late(operator)
    done = operator.run(*command)
    assert done.exit_code in (0, 1), (done.output, done.exception)
    assert operator.registry.registered == []


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (("dead-letters", "retry"), {"delivery-commands", "dead-letter-resolutions"}),
        (("dead-letters", "drop", "--component", "aggregate"), {"dead-letter-resolutions"}),
        (("deliver", CALL), {"delivery-commands"}),
    ],
)
def test_a_command_registers_what_it_writes(operator: Operator, command: tuple[str, ...], written: set[str]) -> None:
    operator.result(call_result(1))
    refused(operator)
    late(operator)
    operator.told(*command)
    assert set(operator.registry.registered) == {operator.settings.kafka.topic(name) for name in written}
