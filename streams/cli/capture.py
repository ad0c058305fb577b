"""`cel2crm capture`: one real call as an anonymised case, to report a wrong status with and to test against."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from streams.calls.call import Call
from streams.calls.pbx_profile import PbxProfile
from streams.cases.case import CapturedCase, capture_case, case_line, outcome_differences
from streams.cli.classify.truth import DIRECTIONS, profile_of
from streams.cli.options import ColumnsOption, SettingsOption
from streams.cli.output import add_remark, remark, say_json_line
from streams.cli.row_sources import SourceArgument, TopicOption, row_finder
from streams.errors import UserError
from streams.operations.call_reference import split_call_id
from streams.rules import Rules, load_rules
from streams.rules.results import RESULT_NAMES
from streams.settings import load_settings
from streams.sources.finding import find_call


def capture(
    linkedid: Annotated[
        str, typer.Argument(help="The call's linkedid or call id, or the uniqueid of a channel of it.")
    ],
    sources: SourceArgument = None,
    topic: TopicOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Append the case to this file; else: standard output.")
    ] = None,
    name: Annotated[str | None, typer.Option("--case", help="Its name, such as busy_after_transfer.")] = None,
    description: Annotated[str, typer.Option(help="What was done, in a sentence. Not anonymised.")] = "",
    asterisk: Annotated[str | None, typer.Option(help="Asterisk's version.")] = None,
    answered: Annotated[
        bool | None, typer.Option("--answered/--not-answered", help="The truth: did a person talk?", show_default=False)
    ] = None,
    who: Annotated[str | None, typer.Option(help="The truth: all who talked but the caller, as 1001,1002.")] = None,
    direction: Annotated[str | None, typer.Option(help=f"The truth: {', '.join(DIRECTIONS)}.")] = None,
    result: Annotated[int | None, typer.Option(help="The result that it should have.")] = None,
    bitrix24: Annotated[str | None, typer.Option(help="The status that Bitrix24 should show.")] = None,
    kommo: Annotated[int | None, typer.Option(help="The status that Kommo should show.")] = None,
    keep_trunks: Annotated[bool, typer.Option("--keep-trunks", help="Leave the names of trunks.")] = False,
    columns: ColumnsOption = None,
    settings_file: SettingsOption = None,
) -> None:
    """Write one call, and those that share a channel with it, as one line of an anonymised case.

    Numbers, names, hosts and addresses are replaced, the same by the same everywhere; who is an extension, which
    country and area a number is of, events, applications, contexts, ids and times stay. The case is classified as the
    call is, but for the numbers. What you know of the call goes into the options: real numbers, they are replaced too.

    Examples:

        cel2crm capture 1795391128.1109 -o case.jsonl --case busy_after_transfer --not-answered --bitrix24 486

        cel2crm capture 1795391128.1109 rows.csv | cel2crm explain 1795391128.1109 -

        cel2crm classify --truth case.jsonl
    """
    _check("--direction", direction, DIRECTIONS)
    _check("--result", result, RESULT_NAMES)
    settings = load_settings(settings_file)
    rules, profile = load_rules(settings.rules), PbxProfile.of(settings)
    _check("--bitrix24", bitrix24, rules.tables["bitrix24"].codes.meanings)
    _check("--kommo", kommo, rules.tables["kommo"].codes.meanings)
    pbx, wanted = split_call_id(linkedid, settings)
    table_of = settings.of_pbx(pbx) if pbx and settings.pbxs else settings
    with row_finder(sources or [], table_of, topic=topic, columns=columns) as finder:
        found = find_call(finder, wanted, pbx=pbx)
    own = found.own[0]
    if len(found.own) > 1:
        names = ", ".join(call.pbx for call in found.own)
        raise UserError(f"several PBXs have a call {wanted}: {names}", f"Say which: {own.pbx}/{wanted}.")
    calls = [own, *(call for call in found.linked if call.pbx == own.pbx)]
    case = capture_case(calls, profile, keep_trunks=keep_trunks)
    facts = {
        "case": name or f"field_{own.linkedid.replace('.', '_')}",
        "asterisk": asterisk,
        "direction": direction,
        "description": description,
        "human_answered": answered,
        "who_answered": who,
        "result": result,
        "bitrix24": bitrix24,
        "kommo": kommo,
    }
    _write(case_line(case, facts), output)
    _report(calls, case, rules, profile)


def _check(option: str, value: object, allowed: Any) -> None:
    if value is not None and value not in allowed:
        raise UserError(f"{option} {value} is not known", f"Allowed: {', '.join(map(str, allowed))}.")


def _write(line: bytes, output: Path | None) -> None:
    if output is None:
        say_json_line(line)
        return
    try:
        with output.open("ab") as file:
            file.write(line)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from None


def _report(calls: list[Call], case: CapturedCase, rules: Rules, profile: PbxProfile) -> None:
    """On standard error: what was replaced, and whether the case is told as the call is."""
    rows = len(case.anonymised.rows)
    remark(f"{rows} rows of {len(calls)} call{'s' if len(calls) > 1 else ''}; replaced:")
    for kind, number in case.anonymised.counts.items():
        add_remark(f"  {number:>4} {kind}")
    if any("-" in call.linkedid for call in calls):
        add_remark("  Ids stay, and begin with the PBX's systemname.")
    shipped = orjson.loads(case_line(case, {"case": "captured"}))
    different = outcome_differences(calls, case, rules, profile, profile_of(shipped, PbxProfile()), load_rules())
    if different:
        add_remark("The shipped rules tell the anonymised case differently from your settings:")
        for line in different:
            add_remark(f"  {line}")
    add_remark("Look at the case before you share it: no program knows every place where a name may stand.")
