"""`cel2crm rules`: the tables in force, a check of an operator's file, and what it would change."""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.calls.pbx_profile import PbxProfile
from streams.cli.options import JsonOption, RulesOption, SettingsOption, settings_with_rules
from streams.cli.output import Table, say, say_json, say_table
from streams.cli.rules.tables import Line, matrix, tables_of
from streams.errors import Fault
from streams.printable import csv_cell
from streams.rules import Rules, check_file, hash_in_force, load_rules
from streams.rules.difference import differences
from streams.rules.source import table_sections
from streams.settings import Settings, load_settings

app = typer.Typer(help="Show, check and compare the rules that tell calls apart.", no_args_is_help=True)

_WIDE = 180
"""Characters of a table's line where there is no terminal."""

SHOWN = (*table_sections(), "matrix")


def _known_table(name: str | None) -> str | None:
    if name is not None and name not in SHOWN:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, SHOWN))}.")
    return name


@app.command()
def show(
    table: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{'|'.join(SHOWN)}]",
            callback=_known_table,
            help="One table alone; matrix: all 1,280 combinations as CSV.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    rules_file: RulesOption = None,
    settings_file: SettingsOption = None,
) -> None:
    """Show the rules in force, where each line comes from, and the hash that results name.

    Examples:

        cel2crm rules show

        cel2crm rules show kommo --rules other.yaml

        cel2crm rules show matrix > combinations.csv
    """
    settings = settings_with_rules(settings_file, rules_file)
    rules, profile = load_rules(settings.rules), PbxProfile.of(settings)
    if table == "matrix":
        _print_matrix(rules, as_json=as_json)
        return
    shown = {name: lines for name, lines in tables_of(rules, profile).items() if table in (None, name)}
    named = {"hash": hash_in_force(rules.hash, profile.hash), "preset": rules.preset, "language": rules.language}
    if as_json:
        _print_json({**named, **shown})
        return
    say(f"rules {named['hash']}: preset {rules.preset}, texts in {rules.language}")
    for name, lines in shown.items():
        say_table(_table(name, lines), _WIDE)


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Rule files; none: those in the settings.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Check rule files: every fault with file, line, reason and what is allowed. Exit status 2 if there is one.

    A rule file holds any of the sections preset, language, results, texts and directions, and one named like each CRM
    that has a table of statuses, in the form of the shipped files.

    Examples:

        cel2crm rules check my-rules.yaml

        cel2crm rules check && systemctl restart cel2crm-workers
    """
    settings = load_settings(settings_file)
    if not files:
        rules = load_rules(settings.rules)
        say(f"the rules in force are good: {hash_in_force(rules.hash, PbxProfile.of(settings).hash)}")
        return
    faulty = False
    for path in files:
        own, faults = check_file(path, settings.rules.what_if(path))
        faulty = faulty or bool(faults)
        if as_json:
            _print_json({"file": str(path), "ok": not faults, "faults": [_fault(each) for each in faults]})
        elif faults:
            for each in faults:
                say(f"{each}\n    {each.remedy}" if each.allowed else str(each))
        else:
            say(f"{path}: good, {own.summary}")
    raise typer.Exit(2 if faulty else 0)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="A rule file.", show_default=False)],
    second: Annotated[
        Path | None, typer.Argument(help="Another; none: the rules in force against FIRST.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Tell what gets another outcome: combinations, CRM statuses and texts, directions; and by which line.

    With one file: from the rules in force to that file's. With two: from the first to the second.
    What it means for your calls, `cel2crm classify --rules FILE --compare` tells.

    Examples:

        cel2crm rules diff my-rules.yaml

        cel2crm rules diff old.yaml new.yaml --json | jq 'select(.table == "kommo")'
    """
    settings = load_settings(settings_file)
    before = settings_with_rules(settings_file, first) if second else settings
    after = settings_with_rules(settings_file, second or first)
    rules_before, rules_after = load_rules(before.rules), load_rules(after.rules)
    changes = differences(rules_before, rules_after)
    if as_json:
        for change in changes:
            _print_json({name: getattr(change, name) for name in ("table", "what", "before", "after", "by")})
        return
    names = (str(first), str(second)) if second else ("the rules in force", str(first))
    title = (
        f"from {names[0]} ({_hash(rules_before, before)}) to {names[1]} ({_hash(rules_after, after)}): "
        f"{len(changes) or 'no'} changes"
    )
    say(title)
    if changes:
        shown = Table("table", "what", "before", "after", "by", header_style="bold")
        for change in changes:
            shown.add_row(change.table, change.what, change.before, change.after, change.by)
        say_table(shown, _WIDE)


def _hash(rules: Rules, settings: Settings) -> str:
    return hash_in_force(rules.hash, PbxProfile.of(settings).hash)


def _fault(fault: Fault) -> dict[str, object]:
    return {"file": fault.file, "line": fault.line, "reason": fault.reason, "allowed": fault.allowed}


def _print_matrix(rules: Rules, *, as_json: bool) -> None:
    lines = matrix(rules)
    if as_json:
        for line in lines:
            _print_json(line)
        return
    writer = csv.DictWriter(sys.stdout, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in line.items()} for line in lines)


def _print_json(value: dict[str, object]) -> None:
    say_json(value)


def _table(name: str, lines: list[Line]) -> Table:
    table = Table(title=name, title_justify="left", header_style="bold")
    for column in lines[0]:
        table.add_column(column.replace("_", " "))
    for line in lines:
        table.add_row(*(_cell(value) for value in line.values()))
    return table


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    return "" if value is None else str(value) or "empty"
