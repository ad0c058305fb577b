"""`cel2crm rules` as an operator calls it."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streams.calls.pbx_profile import PbxProfile
from streams.cli.command_line import command_line
from streams.rules import hash_in_force, load_rules
from streams.settings import Settings

OWN = """
results:
  - {cause: 102, result: 408}
kommo:
  - {result: 603, when: outgoing, status: 7, text: Didn't want to}
directions:
  - {context: gsm, side: outside}
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return str(path)


def rules(*arguments: str) -> Result:
    return CliRunner().invoke(command_line(), ["rules", *arguments], catch_exceptions=False)


def shown(*arguments: str) -> dict[str, object]:
    value = json.loads(rules("show", "--json", *arguments).stdout)
    assert isinstance(value, dict)
    return value


def test_show_prints_every_table_with_the_hash_that_results_name() -> None:
    printed = rules("show").stdout
    assert printed.startswith(
        f"rules {hash_in_force(load_rules().hash, PbxProfile.of(Settings()).hash)}: preset default"
    )
    for line in (
        "44 RequestedChanUnavail",
        "incoming, not answered",
        "Number out of service",
        "from-pstn",
        "kommo.yaml:",
    ):
        assert line in printed


@pytest.mark.parametrize(("table", "lines"), [("results", 21), ("bitrix24", 14), ("kommo", 11), ("texts", 8)])
def test_shipped_tables_have_the_lines_of_the_specification(table: str, lines: int) -> None:
    told = shown(table)
    assert set(told) == {"hash", "preset", "language", table}
    assert len(told[table]) == lines  # type: ignore[arg-type]


def test_literal_preset_shows_what_each_line_of_the_letter_decides(tmp_path: Path) -> None:
    (tmp_path / "literal.yaml").write_text("preset: literal\n")
    lines = shown("results", "--rules", str(tmp_path / "literal.yaml"))["results"]
    assert [line["decides"] for line in lines[:3]] == [10, 127, 254]  # type: ignore[index]


def test_operators_lines_stand_first_with_their_place(own: str) -> None:
    told = shown("--rules", own)
    assert [told[table][0] for table in ("results", "kommo", "directions")] == [  # type: ignore[index]
        {"hangup_cause": [102], "dial_status": None, "result": "408 Request timeout", "decides": 7, "from": f"{own}:3"},
        {"result": ["603 Call rejected"], "condition": "outgoing", "status": 7, "meaning": "number busy",
         "text": "Didn't want to", "from": f"{own}:5"},
        {"subject": "context", "pattern": ["gsm"], "side": "outside", "from": f"{own}:7"},
    ]  # fmt: skip


def test_settings_that_tell_directions_are_shown_with_them(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("numbers: {trunks: [mts], internal_patterns: ['79.*'], internal_digits: 5}\n")
    told = shown("directions", "--settings", str(settings))["directions"]
    assert [(each["pattern"], each["side"], each["from"]) for each in told[:3]] == [  # type: ignore[index]
        (["79.*"], "inside", "numbers.internal_patterns"),
        (["mts"], "outside", "numbers.trunks"),
        (["1-5"], "inside", "numbers.internal_digits"),
    ]


def test_matrix_holds_every_combination_once() -> None:
    lines = list(csv.DictReader(io.StringIO(rules("show", "matrix").stdout)))
    assert len({(line["hangup_cause"], line["dial_status"]) for line in lines}) == len(lines) == 1280
    told = {(line["hangup_cause"], line["dial_status"]): (line["result"], line["name"]) for line in lines}
    assert told["19", "ANSWER"] == ("480", "Temporarily unavailable")
    assert told["2", ""] == ("0", "Unknown")
    as_json = [json.loads(line) for line in rules("show", "matrix", "--json").stdout.splitlines()]
    assert [str(each["result"]) for each in as_json] == [line["result"] for line in lines]


def test_good_file_is_told_so_with_what_it_holds(own: str) -> None:
    done = rules("check", own)
    assert (done.exit_code, done.stdout) == (0, f"{own}: good, 1 in results, 1 in kommo, 1 in directions\n")
    assert rules("check").stdout.startswith("the rules in force are good: ")


def test_every_fault_of_every_file_is_told_and_the_exit_status_is_2(own: str, tmp_path: Path) -> None:
    bad, gone = tmp_path / "bad.yaml", tmp_path / "gone.yaml"
    bad.write_text("results:\n  - {cause: 128, result: 200}\n  - {cause: 1, result: 20}\n")
    done = rules("check", str(bad), own, str(gone))
    assert done.exit_code == 2
    for told in (f"{bad}:2: unknown hangup cause 128\n    Allowed: any", f"{bad}:3: unknown result 20", f"{own}: good",
                 f"{gone}: cannot be read"):  # fmt: skip
        assert told in done.stdout
    as_json = [json.loads(line) for line in rules("check", "--json", str(bad), own).stdout.splitlines()]
    assert [(each["ok"], [fault["line"] for fault in each["faults"]]) for each in as_json] == [
        (False, [2, 3]),
        (True, []),
    ]


def test_diff_goes_from_the_rules_in_force_to_the_file(own: str) -> None:
    printed = rules("diff", own).stdout
    assert printed.startswith("from the rules in force (")
    changes = [json.loads(line) for line in rules("diff", own, "--json").stdout.splitlines()]
    assert [(each["table"], each["after"], each["by"]) for each in changes] == [
        ("results", "408 Request timeout", f"{own}:3"),
        ("kommo", "7 number busy, “Didn't want to”", f"{own}:5"),
        ("directions", "outside", f"{own}:7"),
    ]


def test_diff_of_two_files_goes_from_the_first_to_the_second(own: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    backwards = [json.loads(line)["after"] for line in rules("diff", own, str(empty), "--json").stdout.splitlines()]
    assert backwards == ["0 Unknown", "2 call back later, “Call rejected”", "no line"]
    assert "no changes" in rules("diff", own, own).stdout


def test_file_of_a_what_if_stands_instead_of_the_operators_own(own: str, tmp_path: Path) -> None:
    settings, other = tmp_path / "settings.yaml", tmp_path / "other.yaml"
    settings.write_text(f"rules: {{file: {own}, language: ru}}\n")
    other.write_text("results:\n  - {cause: 103, result: 408}\n")
    told = shown("--settings", str(settings), "--rules", str(other))
    assert told["language"] == "ru"
    assert told["results"][0]["from"] == f"{other}:2"  # type: ignore[index]
    assert told["hash"] != shown("--settings", str(settings))["hash"]
