"""`cel2crm explain`: one call as a short story, and why it has its result and its CRM statuses."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, NamedTuple

import typer

from streams.calls.call import Call
from streams.calls.classify import facts_and_result
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallResult
from streams.cli.classify.outcomes import Outcomes
from streams.cli.options import ColumnsOption, JsonOption, RulesOption, SettingsOption, settings_with_rules
from streams.cli.output import remark, say_json, say_lines
from streams.cli.row_sources import SourceArgument, TopicOption, row_finder
from streams.clock import MICROS_PER_SECOND, iso_utc
from streams.crm.registry import registered
from streams.crm.shared.call_fields import route_words
from streams.crm.shared.route import route_of
from streams.delivery.eligibility import skip_reason
from streams.explain.decision import CrmGround, Grounds, grounds
from streams.explain.narrative import Narrative, narrate
from streams.operations.call_reference import split_call_id
from streams.rules import Rules, load_rules
from streams.settings import Settings
from streams.sources.finding import MOST_LINKED, Found, find_call

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExplainedCall(NamedTuple):
    """A call with everything that is said of it."""

    result: CallResult
    narrative: Narrative
    grounds: Grounds


class Link(NamedTuple):
    """Another call, and what it shares with this one."""

    linkedid: str
    channels: str


def explain(
    linkedid: Annotated[
        str, typer.Argument(help="The call's linkedid or call id, or the uniqueid of a channel of it.")
    ],
    sources: SourceArgument = None,
    topic: TopicOption = False,
    linked: Annotated[bool, typer.Option("--linked", help="Tell the calls that it is linked with, too.")] = False,
    as_json: JsonOption = False,
    rules_file: RulesOption = None,
    columns: ColumnsOption = None,
    settings_file: SettingsOption = None,
) -> None:
    """Tell one call: what happened and when, which row and which table line gave its result, and what each CRM shows.

    Calls that share a channel with it (a pickup, an attended transfer, a parked call taken back) are named.

    Examples:

        cel2crm explain 1795389970.80 rows.csv

        cel2crm explain office/1795389970.80 --linked            (the database of the settings)

        cel2crm explain 1795389970.80 mariadb://cel2crm@10.0.0.5/asteriskcdrdb

        cel2crm explain 1795389970.80 --topic --json
    """
    settings = settings_with_rules(settings_file, rules_file)
    rules, profile = load_rules(settings.rules), PbxProfile.of(settings)
    pbx, wanted = split_call_id(linkedid, settings)
    table_of = settings.of_pbx(pbx) if pbx and settings.pbxs else settings
    with _verdict_line(settings, wanted=topic or not sources):
        with row_finder(sources or [], table_of, topic=topic, columns=columns) as finder:
            found = find_call(finder, wanted, pbx=pbx)
        if found.asked != wanted:
            remark(f"{wanted} is a channel of call {found.asked}")
        calls = [*found.own, *(found.linked if linked else [])]
        for number, call in enumerate(calls):
            explained = explain_call(call, rules, profile)
            links = list(_links(call, found))
            if as_json:
                say_json(as_object(explained, links, rules, settings))
            else:
                say_lines([*([""] if number else []), *_lines(explained, links, settings, hint=not linked)])
        if found.more:
            remark(f"more than {MOST_LINKED} calls are linked with it; the rest is left out")


def _verdict_line(settings: Settings, *, wanted: bool) -> AbstractContextManager[None]:
    """See verdict_line.py; files and other databases are no installation, and need no client of Kafka."""
    if not wanted:
        return nullcontext()
    from streams.cli.verdict_line import verdict_line

    return verdict_line(settings)


def explain_call(call: Call, rules: Rules, profile: PbxProfile) -> ExplainedCall:
    """Classify one call and tell it by the same facts."""
    cut_short = not call.ended
    facts, result = facts_and_result(call, rules, profile, cut_short=cut_short)
    return ExplainedCall(result, narrate(facts, result, profile), grounds(result, rules))


def as_object(explained: ExplainedCall, links: list[Link], rules: Rules, settings: Settings) -> dict[str, Any]:
    """The story as JSON, beside the members that `classify --json` gives."""
    result, narrative, ground = explained
    row = narrative.hangup
    return {
        **Outcomes(rules, settings).as_object(result),
        "story": [
            {
                "at": iso_utc(moment.at),
                "seconds": (moment.at - narrative.moments[0].at) / MICROS_PER_SECOND,
                "text": moment.text,
                "row": moment.row,
            }
            for moment in narrative.moments
        ],
        "hangup_row": {"id": row.id, "channame": row.channame, "extra": row.extra} if row else None,
        "grounds": {
            "result_line": asdict(ground.result_line) if ground.result_line else None,
            "by_table": ground.by_table,
            **{crm: asdict(its) for crm, its in ground.crms.items()},
        },
        "routes": {
            portal.name: {"line": route.number, "fits": dict(route.line.conditions), "gives": route.gives}
            for portal in settings.portals
            if (route := route_of(result, portal)) is not None
        },
        "linked": [link._asdict() for link in links],
    }


def _links(call: Call, found: Found) -> Iterator[Link]:
    mine = {row.uniqueid: row.channame for row in call.rows}
    for other in [*found.own, *found.linked]:
        if other is call or other.pbx != call.pbx:
            continue
        shared = [mine[uniqueid] for uniqueid in dict.fromkeys(row.uniqueid for row in other.rows) if uniqueid in mine]
        yield Link(other.linkedid, ", ".join(shared))


def _lines(explained: ExplainedCall, links: list[Link], settings: Settings, *, hint: bool) -> Iterator[str]:
    result, narrative, ground = explained
    answered = f"answered by {result.answered_by or 'somebody'}" if result.answered else "not answered"
    yield f"Call {result.call_id}: {result.direction}, {answered}, {result.result} {result.result_name}"
    yield ""
    yield from _story(narrative)
    yield ""
    if (row := narrative.hangup) is not None:
        yield f"Row      {row.id}: HANGUP of {row.channame}, {row.extra or 'extra is empty'}"
    yield f"Result   {result.result} {result.result_name}"
    for line in _decision(result, ground):
        yield f"         {line}"
    for crm, its in ground.crms.items():
        yield from _crm(crm, its, result, settings)
    yield "Why"
    for sentence in result.why:
        yield f"  - {sentence}"
    if links:
        yield "Linked calls" + (" (--linked tells them too)" if hint else "")
        for link in links:
            yield f"  - {link.linkedid}" + (f", by {link.channels}" if link.channels else "")


def _story(narrative: Narrative) -> Iterator[str]:
    if not narrative.moments:
        yield "  (no row shows what happened)"
        return
    first = narrative.moments[0].at
    offset = timezone(timedelta(seconds=narrative.utc_offset_seconds))
    began = (_EPOCH + timedelta(microseconds=first)).astimezone(offset)
    yield f"  {began:%Y-%m-%d %H:%M:%S}  {narrative.moments[0].text}"
    for moment in narrative.moments[1:]:
        yield f"  {_after(moment.at - first, whole=narrative.whole_seconds):>19}  {moment.text}"


def _after(span: int, *, whole: bool) -> str:
    if span < 60 * MICROS_PER_SECOND:
        return f"+{span / MICROS_PER_SECOND:.{0 if whole else 1}f} s"
    minutes, rest = divmod(span // MICROS_PER_SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02}:{rest:02}"


def _decision(result: CallResult, ground: Grounds) -> Iterator[str]:
    line, outcome = ground.result_line, f": {result.result} {result.result_name}"
    if ground.by_table and line is not None:
        yield f"{line.place}: {line.words.removesuffix(outcome)}"
        return
    yield result.rule.removesuffix(outcome)
    if line is not None and not line.words.endswith(outcome):
        yield f"(the table alone: {line.place}: {line.words})"


def _crm(crm: str, ground: CrmGround, result: CallResult, settings: Settings) -> Iterator[str]:
    """One line for the CRM, or one for each of its portals."""
    kind = registered().kinds[crm]
    status = f"{ground.status} {ground.meaning}" + (f", text {ground.text!r}" if ground.text else "")
    for portal in settings.portals_of(crm) or (None,):
        name = f"{kind.title} ({portal.name})" if portal else kind.title
        skipped = skip_reason(
            result,
            internal=portal.deliver_internal if portal else False,
            unknown=portal.deliver_unknown if portal else False,
            number_needed=kind.number_needed,
        )
        if skipped:
            yield f"{name:<8} not there: {skipped}"
        else:
            yield f"{name:<8} {status}"
            yield f"         {ground.line.place}: {ground.line.words}"
            if portal is not None and (route := route_of(result, portal)) is not None:
                yield f"         {route_words(result, portal, route)}"
