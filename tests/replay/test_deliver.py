"""`cel2crm replay deliver` over topics in memory: orders for the calls of a selection, at one portal."""

import json
from typing import Any

import msgspec
import pytest

from streams.delivery.record import Action
from streams.delivery.routing import skip_reason_for
from tests.cli.commands import run
from tests.operations.memory import Operator
from tests.replay.memory import Live


@pytest.fixture
def tree() -> dict[str, Any]:
    """Two portals, one of them a shadow."""
    return {
        "portals": [
            {"name": "sales", "crm": "kommo"},
            {"name": "trial", "crm": "bitrix24", "default_user": "1", "shadow": True},
        ]
    }


def wanted(operator: Operator, live: Live) -> set[str]:
    portal = operator.settings.portals[0]
    return {name for name, each in live.highest.items() if skip_reason_for(each, portal) is None}


def test_every_call_that_the_portal_gets_is_ordered_with_its_newest_result(operator: Operator, live: Live) -> None:
    name = min(wanted(operator, live))
    corrected = msgspec.structs.replace(live.highest[name], client="+74950000000", correction=9)
    newest = operator.result(corrected)
    operator.result(live.highest[name])
    done = run("replay", "deliver", "--portal", "sales", "--yes", "--note", "lost there", "--json")
    told, orders = json.loads(done.stdout), operator.commands()
    assert (done.status, told["ordered"]) == (0, len(orders))
    assert {each.call_id for each in orders} == wanted(operator, live)
    assert {(each.crm, each.action, each.note) for each in orders} == {("kommo", Action.DELIVER, "lost there")}
    (order,) = (each for each in orders if each.call_id == name)
    assert order.result == newest.value and order.source_offset == newest.offset
    assert f"{len(orders)} calls at sales: about" in done.stderr and "at the portal's limit" in done.stderr


def test_it_asks_before_it_orders(operator: Operator, live: Live) -> None:
    done = run("replay", "deliver", "--portal", "sales")
    assert (done.status, "not confirmed; nothing was done" in done.stderr, operator.commands()) == (2, True, [])


def test_a_selection_goes_by_the_newest_result(operator: Operator, live: Live) -> None:
    name = min(each for each in wanted(operator, live) if live.highest[each].result == 486)
    operator.result(msgspec.structs.replace(live.highest[name], result=603, correction=9))
    assert run("replay", "deliver", "--portal", "sales", "--result", "603", "--yes").status == 0
    expected = {each for each in wanted(operator, live) if live.highest[each].result == 603} | {name}
    assert {each.call_id for each in operator.commands()} == expected


@pytest.mark.parametrize(
    ("portal", "words"), [("nowhere", "the settings know no portal 'nowhere'"), ("trial", "portal trial is a shadow")]
)
def test_a_portal_that_gets_nothing_is_refused(live: Live, portal: str, words: str) -> None:
    done = run("replay", "deliver", "--portal", portal, "--yes")
    assert (done.status, words in done.stderr) == (2, True)
