"""`cel2crm explain` as a person or a script calls it."""

import json
from pathlib import Path

import pytest

from deploy.demo.recordings import RECORDINGS
from tests.cli.commands import Done, run

PICKED_UP, PICKER, BUSY, INTERNAL = "1795389970.80", "1795389971.82", "1795391128.1109", "1795389855.24"
PAGE = Path(__file__).parents[2] / "docs/calls.md"
CASES = [json.loads(line) for line in RECORDINGS.read_text(encoding="utf-8").splitlines()]


def explain(*arguments: str, given: bytes | None = None) -> Done:
    return run("explain", *arguments, given=given)


def told(*arguments: str, given: bytes | None = None) -> str:
    done = explain(*arguments, given=given)
    assert done.status == 0, done.stderr
    return done.stdout


def test_story_row_table_line_and_statuses_stand_there() -> None:
    text = told(BUSY, str(RECORDINGS))
    assert "2026-11-22 23:45:28  79161234567 called 74951001001 through trunk1" in text
    assert "+1.9 s  1001 transferred to 1002" in text
    assert 'Row      5666: HANGUP of PJSIP/trunk1-00000383, {"hangupcause":17' in text
    for file, words in (
        ("results", "cause 17, whatever dial status"),
        ("bitrix24", "result 486 Subscriber is busy"),
        ("kommo", "result 486 Subscriber is busy"),
    ):
        line = next(line.strip() for line in text.splitlines() if line.strip().startswith(f"{file}.yaml:"))
        assert line.endswith(words)
        assert "486" in rule_line(line.partition(": ")[0]) or "17" in rule_line(line.partition(": ")[0])
    assert "Bitrix24 486 busy" in text
    assert "Kommo    7 number busy, text 'Number busy'" in text


def rule_line(place: str) -> str:
    """The line of a rule file that `file:line` names."""
    file, _, number = place.partition(":")
    (found,) = (Path(__file__).parents[2] / "streams").rglob(file)
    return found.read_text(encoding="utf-8").splitlines()[int(number) - 1]


def test_linked_calls_are_named_and_told_where_asked_for() -> None:
    assert f"- {PICKER}, by PJSIP/1002-00000040" in told(PICKED_UP, str(RECORDINGS))
    both = told(PICKED_UP, str(RECORDINGS), "--linked")
    assert f"Call pbx1/{PICKED_UP}" in both
    assert f"Call pbx1/{PICKER}" in both


def test_why_a_call_is_in_no_crm() -> None:
    text = told(PICKER, str(RECORDINGS))
    assert "Bitrix24 not there: a piece of another call" in text
    assert "Kommo    not there" in text


def test_the_rule_that_goes_before_the_table_says_what_the_table_alone_would_say(tmp_path: Path) -> None:
    case = next(case for case in CASES if case["case"] == "inbound_pickup_directed")
    text = json.dumps(case).replace('\\"hangupcause\\":16', '\\"hangupcause\\":19')
    rows = tmp_path / "case.jsonl"
    rows.write_text(text, encoding="utf-8")
    assert "the last attempt was answered" in told(PICKED_UP, str(rows))
    assert "(the table alone: results.yaml:" in told(PICKED_UP, str(rows))
    assert "480 Temporarily unavailable" in told(PICKED_UP, str(rows))


def test_other_rules_tell_what_would_be(tmp_path: Path) -> None:
    (own := tmp_path / "own.yaml").write_text("results:\n  - {cause: 17, result: 603}\n", encoding="utf-8")
    text = told(BUSY, str(RECORDINGS), "--rules", str(own))
    assert "Result   603 Call rejected\n" in text
    assert f"{own}:2: cause 17, whatever dial status\n" in text


def test_json_has_what_classify_gives_and_the_story() -> None:
    lines = [json.loads(line) for line in told(PICKED_UP, str(RECORDINGS), "--json", "--linked").splitlines()]
    assert [each["linkedid"] for each in lines] == [PICKED_UP, PICKER]
    assert lines[0]["story"][0]["text"] == "79161234567 called 74951001001 through trunk1"
    assert lines[0]["story"][0]["at"].startswith("2026-11-22T23:26:10")
    assert lines[0]["bitrix24"] == {"status": "200"}
    assert lines[0]["grounds"]["bitrix24"]["line"]["place"].startswith("bitrix24.yaml:")
    assert lines[0]["linked"] == [{"linkedid": PICKER, "channels": "PJSIP/1002-00000040"}]
    assert lines[1]["bitrix24"] is None


def test_the_story_and_the_result_of_a_pbx_that_logs_no_bridges_name_one_talk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CEL2CRM_AGGREGATE__BRIDGES_LOGGED", "false")
    case = next(case for case in CASES if case["case"] == "inbound_answered_callee_hangs_up")
    case = {**case, "cel": [row for row in case["cel"] if not row["eventtype"].startswith("BRIDGE")]}
    (rows := tmp_path / "case.jsonl").write_text(json.dumps(case), encoding="utf-8")
    explained = json.loads(told(case["linkedids"][0], str(rows), "--json"))
    assert explained["answered"]
    assert f"79161234567 talked with 1001 for {explained['talk_seconds']:.1f} s" in [
        moment["text"] for moment in explained["story"]
    ]


def test_the_line_of_a_portals_route_is_named(tmp_path: Path) -> None:
    """A caller who gave up in queue q700, on a Sunday night."""
    (waited,) = (case["linkedids"][0] for case in CASES if case["case"] == "inbound_queue_abandoned")
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "working_hours: {office: {hours: {mon-fri: '09:00-18:00'}}}\n"
        "portals:\n"
        "- {name: main, crm: kommo, missed_call_user: route, route: [{queue: sales, user: 1},"
        " {queue: q7*, hours: closed, user: 17, pipeline_id: 5}]}\n",
        encoding="utf-8",
    )
    text = told(waited, str(RECORDINGS), "--settings", str(settings))
    assert "         route line 2 (queue q7*, hours closed) gives user 17, pipeline_id 5\n" in text
    document = json.loads(told(waited, str(RECORDINGS), "--settings", str(settings), "--json"))
    assert document["queue"] == "q700"
    fits = {"queue": "q7*", "hours": "closed"}
    assert document["routes"] == {"main": {"line": 2, "fits": fits, "gives": {"user": "17", "pipeline_id": 5}}}
    assert json.loads(told(waited, str(RECORDINGS), "--json"))["routes"] == {}


def test_standard_input_is_read_however_often_it_takes() -> None:
    assert told(PICKED_UP, "-", given=RECORDINGS.read_bytes()) == told(PICKED_UP, str(RECORDINGS))


def test_a_call_id_and_the_uniqueid_of_a_channel_lead_to_the_call() -> None:
    assert told(f"pbx1/{PICKED_UP}", str(RECORDINGS)) == told(PICKED_UP, str(RECORDINGS))
    done = explain("1795389970.81", str(RECORDINGS))
    assert f"1795389970.81 is a channel of call {PICKED_UP}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["1.1", str(RECORDINGS)], "no row of call 1.1"),
        ([PICKED_UP, "/nowhere.csv"], "cannot read /nowhere.csv"),
        ([PICKED_UP, "mysql://u@h/d", str(RECORDINGS)], "a database is read alone"),
        ([PICKED_UP, "mysql://u:hidden@h/d"], "the database URL holds a password"),
        ([PICKED_UP, "--topic", str(RECORDINGS)], "--topic reads the cel topic"),
        ([PICKED_UP], "database.password is not set"),
    ],
)
def test_mistakes_are_one_message(arguments: list[str], problem: str) -> None:
    done = explain(*arguments)
    assert done.status == 2
    assert problem in done.stderr
    assert "hidden" not in done.stderr


def test_page_of_calls_shows_what_the_command_prints() -> None:
    blocks = [block for block in PAGE.read_text(encoding="utf-8").split("```") if block.startswith("\nCall pbx1/")]
    assert len(blocks) == 5
    for block in blocks:
        linkedid = block.partition("/")[2].partition(":")[0]
        shown, printed = block.strip().splitlines(), told(linkedid, str(RECORDINGS)).splitlines()
        # Where a line of a table stands may change with every line above it: not worth a new page.
        assert [line for line in shown if ".yaml:" not in line] == [line for line in printed if ".yaml:" not in line], (
            f"put into docs/calls.md what `cel2crm explain {linkedid} {RECORDINGS.name}` prints"
        )
