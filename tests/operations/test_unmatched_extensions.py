"""`cel2crm portal unmatched`: extensions without a person, and the lines that give them one."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from streams.clock import MICROS_PER_SECOND
from streams.delivery.record import Delivery, State
from streams.errors import UserError
from streams.settings import load_settings
from tests.operations.memory import Operator, make_operator

MAIN = {"name": "main", "crm": "bitrix24", "default_user": "1", "users": {"1001": "11", "1009": "19"}}
SALES = {"name": "sales", "crm": "kommo", "pbxs": ["pbx1"]}
SHOP = {"name": "shop", "crm": "kommo", "pbxs": ["pbx2"]}


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operator:
    return with_portals(monkeypatch, tmp_path, MAIN, SALES, SHOP)


def with_portals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *portals: dict[str, Any]) -> Operator:
    file = tmp_path / "cel2crm.yaml"
    file.write_text(yaml.safe_dump({"portals": list(portals)}), encoding="utf-8")
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(file))
    return make_operator(monkeypatch, load_settings())


def call(number: int, *unmatched: str, portal: dict[str, Any] = MAIN) -> Delivery:
    ended = 1_764_000_000 * MICROS_PER_SECOND + number * MICROS_PER_SECOND
    names: dict[str, Any] = {"unmatched": unmatched, "call_ended_at": ended}
    return Delivery(call_id=f"pbx1/{number}", crm=portal["crm"], portal=portal["name"], state=State.DELIVERED, **names)


def test_extensions_are_counted_with_the_lines_to_paste(operator: Operator) -> None:
    for delivery in (call(1, "1042"), call(2, "1042"), call(3, "1050"), call(4), call(2, "1042")):
        operator.delivery(delivery)
    said = operator.told("portal", "unmatched", "main").splitlines()
    assert "default_user (1)" in said[0]
    assert said[2:5] == [
        "    users:",
        '      "1042": "USER_ID"   # 2 calls, the last 2025-11-24 16:00:02 UTC',
        '      "1050": "USER_ID"   # 1 call, the last 2025-11-24 16:00:03 UTC',
    ]
    pasted = yaml.safe_load("\n".join(said[2:5]))
    assert pasted == {"users": {"1042": "USER_ID", "1050": "USER_ID"}}


def test_leads_that_the_crm_did_not_make_are_told_with_its_words(operator: Operator) -> None:
    for number in (1, 2):
        ids = {"CALL_ID": "x", "LEAD_CREATION_ERROR": "Required field: Region"}
        operator.delivery(replace(call(number), crm_ids=ids))
    said = operator.told("portal", "unmatched", "main").splitlines()
    assert said[0] == ("Bitrix24 made no lead of 2 calls, the last 2025-11-24 16:00:02 UTC: Required field: Region")
    assert "has its person" in said[1]
    (told,) = map(json.loads, operator.told("portal", "unmatched", "main", "--json").splitlines())
    assert (told["no_lead"], told["calls"]) == ("Required field: Region", 2)


def test_a_user_whom_the_crm_does_not_know_is_told_by_his_extensions(operator: Operator) -> None:
    operator.delivery(call(1, "user:19", "1009"))
    said = operator.told("portal", "unmatched", "main")
    assert '"1009": "USER_ID"   # the CRM knows no active user 19; 1 call' in said
    assert json.loads(operator.told("portal", "unmatched", "main", "--json")) == {
        "portal": "main",
        "user": "19",
        "extensions": ["1009"],
        "calls": 1,
        "last_call": "2025-11-24 16:00:01 UTC",
    }


def test_a_user_of_the_route_whom_the_crm_does_not_know_is_told_by_his_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    route = [{"queue": "sales", "user": "18"}, {"did": "7495*", "user": "404"}]
    operator = with_portals(monkeypatch, tmp_path, {**MAIN, "route": route})
    operator.delivery(call(1, "user:404"))
    operator.delivery(call(2, "user:505"))  # the settings named him once
    said = operator.told("portal", "unmatched", "main")
    assert "went to the user of the route's line, else to default_user (1)." in said
    assert '# route, line 2: user: "USER_ID"   # the CRM knows no active user 404; 1 call' in said
    assert "505" not in said


def test_each_portal_has_its_own(operator: Operator) -> None:
    operator.delivery(call(1, "1042", portal=SALES))
    operator.delivery(call(2, "1050", portal=SHOP))
    for name, extension in (("sales", "1042"), ("shop", "1050")):
        assert json.loads(operator.told("portal", "unmatched", name, "--json"))["extension"] == extension
    assert "whom the CRM chose" in operator.told("portal", "unmatched", "shop")


def test_who_has_a_person_by_now_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    operator = with_portals(monkeypatch, tmp_path, {**MAIN, "users": {"1042": "14", "1009": "15"}})
    operator.delivery(call(1, "1042"))
    operator.delivery(call(2, "user:19", "1009"))
    assert "every extension that had calls has its person" in operator.told("portal", "unmatched", "main")
    assert operator.told("portal", "unmatched", "main", "--json") == ""


def test_a_call_that_found_its_person_later_is_not_counted(operator: Operator) -> None:
    operator.delivery(call(1, "1042"))
    operator.delivery(call(1))
    assert "has its person" in operator.told("portal", "unmatched", "main")


def test_an_unknown_portal_is_told_with_the_known_ones(operator: Operator) -> None:
    error = operator.run("portal", "unmatched", "mian").exception
    assert isinstance(error, UserError)
    assert "no portal mian" in error.problem and "main, sales, shop" in (error.remedy or "")


def test_a_field_that_the_crm_does_not_take_is_told_beside_the_extensions(operator: Operator) -> None:
    operator.delivery(call(1, "field:created_by", portal=SALES))
    said = operator.told("portal", "unmatched", "sales")
    assert "Kommo did not take created_by of us, so calls went without it (1 call, the last" in said
    assert "cel2crm portal check sales" in said and "has its person" in said
    told = json.loads(operator.told("portal", "unmatched", "sales", "--json"))
    assert (told["field"], told["calls"]) == ("created_by", 1) and "extension" not in told
