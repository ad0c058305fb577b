"""`cel2crm erase` over topics in memory: nothing is left of the number, once, whatever stops it in the middle."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from schemas import written_as
from streams.calls.result import CallResult
from streams.calls.result_headers import origin_of
from streams.calls.rules_in_force import RulesInForce
from streams.calls.snapshot import Snapshot
from streams.delivery.erasure import is_erased
from streams.delivery.record import State
from streams.erasure.cluster import Cluster
from streams.kafka.topic_client import Outgoing
from tests.erasure.conftest import DELIVERED, Installation, of_another, result_of
from tests.privacy.examples import CLIENT, KEY, leg
from tests.replay.conftest import _recorded

NUMBER = "8 (916) 123-45-67"


def erased(operator: Installation, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The certificate of a run."""
    done = operator.run("erase", NUMBER, "--yes", "--by", "ann", "--json", *arguments)
    assert done.exit_code == status, (done.output, done.exception)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def nothing_left(operator: Installation) -> None:
    for result, legs in operator.truth().values():
        told = str(result) + str(legs)
        assert "9161234567" not in told and result.client != CLIENT
    for delivery in operator.deliveries().values():
        assert CLIENT not in str(delivery)
        assert is_erased(delivery) is (delivery.call_id != "pbx1/1795389970.3")


def test_its_calls_stay_without_it_and_others_are_let_be(operator: Installation) -> None:
    before = operator.truth()
    told = erased(operator)
    nothing_left(operator)
    after = operator.truth()
    assert after["pbx1/1795389970.3"] == before["pbx1/1795389970.3"]
    result, legs = after["pbx1/1795389970.1"]
    old, _ = before["pbx1/1795389970.1"]
    assert (result.version, result.extension, result.result) == (old.version, "1002", old.result)
    assert result.correction == told["correction"] > 0 and result.outcome_hash != old.outcome_hash
    assert [(each.number, each.channel) for each in legs] == [
        (None, "PJSIP/provider-00000001"), ("1002", "PJSIP/1002-00000002"),
    ]  # fmt: skip
    origins = {origin_of(each.headers) for each in operator.records("call-results")}
    assert origins == {"live", "erasure"}
    assert (told["calls_rewritten"], told["deliveries_erased"], told["complete"]) == (2, 1, True)
    assert [(each["portal"], each["ids"]) for each in told["entries"]] == [("sales", {"note": "7"})]


def test_twice_does_nothing(operator: Installation) -> None:
    erased(operator)
    there = {place: list(log) for place, log in operator.topics.logs.items()}
    told = erased(operator)
    assert {place: log for place, log in operator.topics.logs.items() if log} == {
        p: log for p, log in there.items() if log
    }
    assert (told["calls_rewritten"], told["deliveries_erased"]) == (0, 0)
    assert told["entries"], "what a person has to erase is told again"


def test_killed_between_any_two_steps_the_next_run_does_the_rest(operator: Installation) -> None:
    steps = 0
    while True:
        operator.stop_after = steps
        done = operator.run("erase", NUMBER, "--yes", "--by", "ann")
        operator.stop_after = None
        if done.exit_code == 0:
            break
        steps += 1
        assert steps < 20
    assert steps >= 3, "hash, commands, legs, results"
    nothing_left(operator)
    corrections = [each.correction for each, _ in operator.truth().values()]
    assert sum(each > 0 for each in corrections) == 2


@pytest.mark.parametrize("steps", range(4))
def test_killed_once_the_next_run_does_the_rest(operator: Installation, steps: int) -> None:
    operator.stop_after = steps
    assert operator.run("erase", NUMBER, "--yes", "--by", "ann").exit_code != 0
    operator.stop_after = None
    assert erased(operator)["complete"]
    nothing_left(operator)
    assert {len(legs) for name, (_, legs) in operator.truth().items()} == {1, 2}, "no leg is lost"


def test_a_dry_run_tells_what_holds_it_and_changes_nothing(operator: Installation) -> None:
    operator.topics.put(Outgoing("cel2crm.cel", b"1795389970.1", orjson.dumps({"cid_num": "89161234567"})))
    operator.topics.put(Outgoing("cel2crm.cel", b"1795389970.4", orjson.dumps({"cid_num": "891612345670"})))
    there = operator.all_logs()
    done = operator.run("erase", NUMBER, "--dry-run", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    held = {each["topic"].removeprefix("cel2crm."): each["records"] for each in told["topics"]}
    assert held == {"cel": 1, "call-results": 2, "call-legs": 2, "deliveries-kommo": 1}
    assert (told["calls"], told["deliveries"], told["own"]) == (2, {"kommo/sales": 1}, 0)
    assert all(each["until"] for each in told["topics"])
    assert operator.all_logs() == there
    words = operator.run("erase", NUMBER, "--dry-run").stdout
    for part in (
        "cel2crm.cel: 1 records, gone by ",
        "kommo, portal sales: call pbx1/1795389970.1",
        "The PBX's own database",
    ):
        assert part in words
    assert operator.run("erase", "+79160000000", "--dry-run").exit_code == 0


def test_the_hash_alone_stands_on_its_topic(operator: Installation) -> None:
    told = erased(operator)
    (record,) = operator.records("erased-numbers")
    assert record.key == KEY.of(CLIENT).encode() == told["number"].encode()
    assert b"916" not in (record.value or b"") or CLIENT.encode() not in (record.value or b"")
    assert "9161234567" not in json.dumps(told)


def test_an_owner_that_is_away_is_told_and_the_next_run_goes_on(operator: Installation) -> None:
    operator.away = True
    told = erased(operator, status=1)
    assert "1 deliveries are not erased yet (kommo/sales)" in told["left"][0]
    operator.away = False
    assert erased(operator)["complete"]
    nothing_left(operator)


def test_a_delivery_that_waits_is_dropped(operator: Installation) -> None:
    waiting = replace(
        DELIVERED, call_id="pbx1/1795389970.2", state=State.WAITING, sent_version=None, sent=None, result=b"x"
    )
    operator.delivery(waiting)
    erased(operator)
    nothing_left(operator)
    assert operator.deliveries()["kommo", "pbx1/1795389970.2"].state is State.DROPPED


def test_calls_that_come_after_it_are_erased_by_another_run(operator: Installation) -> None:
    first = erased(operator)
    operator.call(result_of(5), leg(CLIENT, "PJSIP/provider-00000009"))
    again = erased(operator)
    assert (again["calls_rewritten"], again["at"] >= first["at"]) == (1, True)
    nothing_left(operator)


def test_a_call_whose_leg_alone_holds_it_is_found(operator: Installation) -> None:
    operator.call(of_another(6), leg("1001", "PJSIP/1001-1"), leg("89161234567", "Local/89161234567@x;1", leg=2))
    assert erased(operator)["calls_rewritten"] == 3
    result, legs = operator.truth()["pbx1/1795389970.6"]
    assert result.client == "+79169999999" and [each.number for each in legs] == ["1001", None]


def test_dead_letters_about_it_are_noted_as_dropped_once(operator: Installation) -> None:
    operator.letter("pbx1/1795389970.1", b'{"n":"89161234567"}')
    operator.letter("pbx1/1795389970.3", b"{}")
    assert erased(operator)["dead_letters_dropped"] == 1
    assert erased(operator)["dead_letters_dropped"] == 0
    (note,) = operator.resolutions()
    assert (note.action, note.call_id, note.by) == ("dropped", "pbx1/1795389970.1", "ann")


@pytest.mark.parametrize(
    ("number", "words"),
    [("1002", "is an extension"), ("12345", "short and local ones"), ("alice", "is no telephone number")],
)
def test_what_is_of_many_or_ones_own_is_refused(operator: Installation, number: str, words: str) -> None:
    done = operator.run("erase", number, "--yes", *(["--as-logged"] if number == "1002" else []))
    assert words in str(done.exception)
    assert not operator.records("erased-numbers")


def test_a_number_of_the_pbx_itself_is_refused_without_own(operator: Installation) -> None:
    done = operator.run("erase", "+74950000000", "--yes", "--by", "ann")
    assert "3 results have it as a number of the PBX itself" in str(done.exception)
    assert not operator.records("erased-numbers")
    assert operator.run("erase", "+74950000000", "--yes", "--by", "ann", "--own").exit_code == 0
    assert {result.did for result, _ in operator.truth().values()} == {None}


@pytest.mark.parametrize("tree", [{"privacy": {}}])
def test_without_a_key_it_only_looks(operator: Installation) -> None:
    assert "without a key" in str(operator.run("erase", NUMBER, "--yes").exception)
    assert operator.run("erase", NUMBER, "--dry-run").exit_code == 1


def test_workers_that_do_not_obey_are_named(operator: Installation) -> None:
    operator.cluster = Cluster(operator.cluster.configs, 1)
    for partition in range(4):
        value = RulesInForce("r", f"host/{partition}", 1, hash_key="" if partition == 2 else KEY.id).encode()
        operator.topics.put(Outgoing("cel2crm.rules-in-force", str(partition).encode(), value, 0))
    done = operator.run("erase", NUMBER, "--yes", "--by", "ann")
    assert "worker host/2 does not know erased numbers by this key" in str(done.exception)
    assert not operator.records("erased-numbers") and not operator.commands()


def test_the_certificate_is_whole_and_replaces_none(operator: Installation, tmp_path: Path) -> None:
    file = tmp_path / "erased.json"
    told = erased(operator, "--certificate", str(file))
    assert json.loads(file.read_text()) == told
    text = (tmp_path / "erased.json.txt").read_text()
    for part in ("2 calls written anew", "gone by ", "note 7", "The PBX's own database", "key " + KEY.id):
        assert part in text
    assert "9161234567" not in text
    again = operator.run("erase", NUMBER, "--yes", "--certificate", str(file))
    assert "is there already" in str(again.exception)
    missing = operator.run("erase", NUMBER, "--yes", "--certificate", str(tmp_path / "none" / "x.json"))
    assert "there is no directory" in str(missing.exception)


def test_nobody_is_asked_where_nobody_can_answer(operator: Installation) -> None:
    done = operator.run("erase", NUMBER, "--by", "ann")
    assert "not confirmed" in str(done.exception) and not operator.records("erased-numbers")


@pytest.mark.parametrize("tree", [{"logging": {"mask_numbers": True}}])
def test_the_number_is_masked_where_the_settings_say_so(operator: Installation) -> None:
    assert CLIENT not in operator.run("erase", NUMBER, "--dry-run").stdout


def test_headers_say_which_schema_wrote_what_is_rewritten(operator: Installation) -> None:
    erased(operator)
    for topic in ("call-results", "call-legs"):
        assert all(written_as(each.headers) for each in operator.records(topic))


@pytest.mark.parametrize("tree", [{"hashed_topic": True}])
def test_no_hash_is_left_where_results_have_hashes(operator: Installation) -> None:
    before = replace(operator.truth()["pbx1/1795389970.1"][0], client=KEY.of(CLIENT)[:32])
    operator.put("call-results-hashed", "call_result", before.call_id, before.record())
    told = erased(operator)
    records = [CallResult.from_record(each) for each in operator._all("call-results-hashed", "call_result")]
    newest = {each.call_id: each for each in sorted(records, key=lambda each: each.correction)}
    assert newest[before.call_id].client is None and newest[before.call_id].correction == told["correction"]
    held = {each["topic"].removeprefix("cel2crm."): each["records"] for each in told["remains"]}
    assert held["call-results-hashed"] == 3, "the earlier one is told until it expires"


def test_a_call_under_way_is_told_until_it_is_over(operator: Installation) -> None:
    live = _recorded()
    result = next(each for each in live.highest.values() if each.client and each.direction == "incoming")
    call, _ = live.calls[result.call_id]
    snapshot = Snapshot(1, 1, False, False, call.to_bytes(), pbx=call.pbx).encode()
    operator.put_raw("aggregate-checkpoints", call.call_id.encode(), snapshot)
    operator.put_raw("aggregate-checkpoints", b"pbx1/1.1", b"damaged")
    number = str(result.client)
    done = operator.run("erase", number, "--yes", "--by", "ann", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1 and "1 calls are under way" in told["left"][0] and "1 records cannot" in told["left"][1]
    assert {each["topic"]: each["records"] for each in told["remains"]}["cel2crm.aggregate-checkpoints"] == 1
    operator.topics.logs["cel2crm.aggregate-checkpoints", 0].clear()
    assert operator.run("erase", number, "--yes", "--by", "ann").exit_code == 0


@pytest.mark.parametrize("tree", [{"sinks": [{"engine": "iceberg", "lake": {"warehouse": "s3://bucket/calls"}}]}])
def test_a_lake_is_named_and_not_touched(operator: Installation) -> None:
    told = erased(operator)
    (lake,) = told["sinks"]
    assert told["complete"] and lake["statements"] and "engine of your own" in lake["problem"]
    assert any(line.startswith("The tables of the lake iceberg") for line in told["not_ours"])
