"""`cel2crm replay plan` and `diff` as a person calls them, over topics in memory."""

import csv
import errno
import json
import os
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pytest

from streams.cli.replay import diff as diff_command
from streams.cli.replay import publish as publish_command
from streams.cli.replay import run as run_command
from tests.cli.commands import run
from tests.operations.memory import Operator
from tests.replay.memory import Live, MemorySource

BUSY_IS_REJECTED = "results:\n  - cause: 17\n    result: 603\n"
BUSY_SHOWN_OTHERWISE = "kommo:\n  - result: 486\n    status: 3\n    text: missed_call\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Busy calls count as rejected."""
    file = tmp_path / "rules.yaml"
    file.write_text(BUSY_IS_REJECTED, encoding="utf-8")
    return file


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_nothing_differs_by_the_rules_in_force(live: Live) -> None:
    done = run("replay", "diff")
    assert (done.status, f"{len(live.highest)} calls judged" in done.stdout) == (0, True), done


def test_a_changed_rule_names_exactly_its_calls_with_before_after_and_why(live: Live, rules: Path) -> None:
    busy = {name for name, each in live.highest.items() if each.hangup_cause == 17 and each.result != 200}
    done = run("replay", "diff", "--rules", str(rules), "--json")
    told = lines(done.stdout)
    *calls, last = told
    assert done.status == 1
    assert busy and {each["call_id"] for each in calls} <= {name for name, each in live.highest.items()}
    assert all(each["before"]["result"] == 486 and each["after"]["result"] == 603 for each in calls)
    assert all("603" in " ".join(each["why"][1]) for each in calls)
    moved = {(each["before"], each["after"]): each["calls"] for each in last["summary"]["results"]}
    assert moved == {(486, 603): len(calls)}
    assert {each["call_id"] for each in calls} == {
        name for name, each in live.highest.items() if each.result == 486 and each.hangup_cause == 17
    }
    assert sum(each["calls"] for each in last["summary"]["statuses"] if each["crm"] == "kommo") > 0
    shown = run("replay", "diff", "--rules", str(rules)).stdout
    assert f"result 486 Subscriber is busy -> 603 Call rejected: {len(calls)}" in shown


def test_another_status_alone_is_told_apart(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "statuses.yaml"
    file.write_text(BUSY_SHOWN_OTHERWISE, encoding="utf-8")
    done = run("replay", "diff", "--rules", str(file), "--json")
    *calls, last = lines(done.stdout)
    assert calls and {each["kind"] for each in calls} == {"status"}
    assert all(set(each["after"]) == {"kommo"} for each in calls)
    assert (done.status, last["summary"]["differing"]) == (1, 0)


@pytest.mark.parametrize("name", ["changes.jsonl", "changes.csv"])
def test_every_call_goes_into_a_file(live: Live, rules: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    done = run("replay", "diff", "--rules", str(rules), "-o", str(file))
    assert done.status == 1 and "486 Subscriber is busy" in done.stdout
    text = file.read_text(encoding="utf-8")
    if name.endswith("csv"):
        rows = list(csv.DictReader(text.splitlines()))
        found = {row["call_id"] for row in rows if (row["member"], row["after"]) == ("result", "603")}
    else:
        found = {each["call_id"] for each in lines(text)}
    assert found == {name for name, each in live.highest.items() if each.result == 486 and each.hangup_cause == 17}
    assert [each.name for each in tmp_path.iterdir() if "changes" in each.name] == [name]


def test_a_full_disk_leaves_no_half_file(
    live: Live, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    file = tmp_path / "changes.jsonl"
    file.write_text("of yesterday", encoding="utf-8")
    done = run("replay", "diff", "--rules", str(rules), "-o", str(file))
    assert (done.status, "No space left on device" in done.stderr) == (2, True)
    assert file.read_text(encoding="utf-8") == "of yesterday"
    assert [each.name for each in tmp_path.iterdir() if "changes" in each.name] == [file.name]


def test_a_full_disk_in_the_middle_is_told_too(
    live: Live, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, file: IO[bytes]) -> None:
            self.write = self.refuse

        def refuse(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    into = diff_command._into
    monkeypatch.setattr(diff_command, "_into", lambda file, *rest: into(cast(Any, Full(file)), *rest))
    done = run("replay", "diff", "--rules", str(rules), "-o", str(tmp_path / "changes.jsonl"))
    assert (done.status, "No space left on device" in done.stderr) == (2, True)
    assert not [each.name for each in tmp_path.iterdir() if "changes" in each.name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from-offset", "0:99999"], "partition 0 of cel2crm.cel ends at"),
        (["--from-offset", "9:1"], "the topic has no partition 9"),
        (["--from-offset", "0-1"], "is not a partition and its offset"),
        (["--from-offset", "0:5", "--to-offset", "0:5"], "is not after --from-offset"),
        (["--from-offset", "0:5,0:6"], "names it twice"),
        (["--since", "2999-01-01"], "is in the future"),
        (["--until", "2999-01-01T00:00+03:00"], "is in the future"),
        (["--from-time", "2999-01-01"], "is in the future"),
        (["--since", "yesterday"], "is not a time"),
        (["--since", "2026-11-22", "--until", "2026-11-21"], "--until is not after --since"),
        (["--from-time", "2026-11-22", "--to-time", "2026-11-22"], "--to-time is not after --from-time"),
        (["--pbx", "nowhere"], "the settings know no PBX 'nowhere'"),
        (["--result", "487"], "there is no result 487"),
        (["--call", "1.1"], "the topic holds no rows of pbx1/1.1"),
        (["--dead-letters"], "no unresolved dead letter"),
        (["-o", "changes.xls"], "is neither .jsonl nor .csv"),
        (["-o", "/nowhere/changes.csv"], "cannot be written: No such file or directory"),
        (["--rules", "/nowhere/rules.yaml"], "cannot be read"),
    ],
)
def test_bad_input_is_told_in_one_sentence(live: Live, arguments: list[str], words: str) -> None:
    done = run("replay", "diff", *arguments)
    assert (done.status, words in done.stderr, done.stdout) == (2, True, ""), done


def test_calls_of_dead_letters_are_chosen(operator: Operator, live: Live, source: MemorySource) -> None:
    name, other = list(live.highest)[:2]
    for call_id, reason in ((name, "late_row"), (other, "unreadable_row")):
        letter: dict[str, Any] = {
            "key": None, "value": None, "headers": [], "topic": source.name, "partition": 0, "offset": 3,
            "timestamp": None, "component": "aggregate", "reason": reason, "explanation": "", "failed_at": 0,
            "call_id": call_id, "portal": None,
        }  # fmt: skip
        operator.put("dead-letters", "dead_letter", "k", letter)
    done = run("replay", "diff", "--dead-letters")
    assert (done.status, done.stdout.splitlines()[0].startswith("1 calls judged")) == (0, True), done


def test_calls_that_cannot_be_judged_are_listed(operator: Operator, live: Live, source: MemorySource) -> None:
    result = next(iter(live.highest.values()))
    operator.result(msgspec.structs.replace(result, version=result.version + 1, version_rows=result.version_rows + 1))
    done = run("replay", "diff", "--call", result.linkedid)
    assert (done.status, "its result holds rows up to id" in done.stdout) == (1, True), done


def test_a_plan_tells_offsets_rows_bytes_and_time(live: Live, source: MemorySource) -> None:
    done = run("replay", "plan", "--json")
    told = json.loads(done.stdout)
    rows = sum(len(log) for (topic, _), log in live.operator.topics.logs.items() if topic == source.name)
    assert (done.status, told["rows"], len(told["partitions"])) == (0, rows, 4)
    assert told["bytes"] > 100 * rows and told["seconds"] > 0
    assert "rows at most" in run("replay", "plan").stdout


def test_a_plan_says_what_retention_has_taken_away(operator: Operator, live: Live, source: MemorySource) -> None:
    operator.topics.begins[source.name, 0] = 40
    done = run("replay", "plan", "--from-offset", "0:10", "--to-offset", "0:90")
    assert (done.status, "30 offsets before 40 were asked for" in done.stdout) == (1, True), done
    assert "partition 1" not in done.stdout
    diff = run("replay", "diff", "--from-offset", "0:10", "--to-offset", "0:90")
    assert "partition 0: 30 offsets before 40 were asked for: retention has removed them" in diff.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--join", "nowhere"], "there is no replay nowhere"),
        (["status", "nowhere"], "there is no replay nowhere"),
        (["drop", "nowhere", "--yes"], "there is no replay nowhere"),
        (["run"], "it is not said which replay"),
        (["run", "--into", "new", "--join", "new"], "it is not said which replay"),
        (["run", "--into", "New Rules"], "cannot be the name of a replay"),
        (["run", "--into", "new", "--rules", "/nowhere/rules.yaml"], "cannot be read"),
        (["run", "--into", "new", "--from-offset", "0:99999"], "partition 0 of cel2crm.cel ends at"),
        (["publish", "--since", "2999-01-01"], "is in the future"),
        (["publish", "--call", "1.1", "--yes"], "the topic holds no rows of pbx1/1.1"),
        (["deliver", "--portal", "sales", "--result", "487"], "there is no result 487"),
    ],
    ids=" ".join,
)
def test_the_other_commands_say_it_as_well(
    live: Live, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    async def none(_: object) -> Any:
        return {}

    monkeypatch.setattr(publish_command, "live_members", none)
    monkeypatch.setattr(publish_command, "taken_offsets", none)
    monkeypatch.setattr(run_command, "refuse_taken", _nothing)
    before = {place: len(log) for place, log in live.operator.topics.logs.items()}
    done = run("replay", *arguments)
    assert (done.status, words in done.stderr, done.stdout) == (2, True, ""), done
    assert {place: len(log) for place, log in live.operator.topics.logs.items() if log} == before


async def _nothing(*_: object) -> None:
    pass


def test_ctrl_c_says_how_it_goes_on(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "_member", interrupted)
    done = run("replay", "run", "--join", "new")
    assert (done.status, "cel2crm replay resume new goes on where it was" in done.stderr) == (130, True), done
