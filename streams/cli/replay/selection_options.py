"""The options that choose the calls of a replay, once for all its commands."""

from dataclasses import dataclass
from typing import Annotated

import typer

from streams.dead_letter_reasons import Recovery
from streams.errors import UserError
from streams.operations.call_reference import call_ids
from streams.operations.connection import Connection
from streams.operations.dead_letter_topic import letters_of
from streams.operations.dead_letters import Filter
from streams.replay.selection import CallTime, Selection, known_pbxs, known_results, offsets_of, written_bound
from streams.settings import Settings

_OFFSETS = "P:O,.."

FromOffset = Annotated[
    list[str] | None,
    typer.Option("--from-offset", metavar=_OFFSETS, help="Calls whose first row is there or later, by partition."),
]
ToOffset = Annotated[
    list[str] | None, typer.Option("--to-offset", metavar=_OFFSETS, help="Calls whose first row is before.")
]
FromTime = Annotated[
    str | None,
    typer.Option("--from-time", help="Calls whose first row came to the topic then or later: UTC, or with an offset."),
]
ToTime = Annotated[str | None, typer.Option("--to-time", help="Calls whose first row came to the topic before.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Calls that began then or later: the PBX's clock, or with an offset.")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Calls that began before.")]
CallOption = Annotated[
    list[str] | None, typer.Option("--call", help="A call: its linkedid, or PBX/linkedid; may be given again.")
]
PbxOption = Annotated[list[str] | None, typer.Option("--pbx", help="Only calls of this PBX of the settings.")]
TrunkOption = Annotated[list[str] | None, typer.Option("--trunk", help="Only calls over this trunk.")]
NumberOption = Annotated[
    list[str] | None, typer.Option("--number", help="Only calls from or to it: as logged, or +E.164.")
]
ResultOption = Annotated[
    list[int] | None, typer.Option("--result", help="Only calls with this result, before or after.")
]
LettersOption = Annotated[
    bool, typer.Option("--dead-letters", help="Calls that the aggregate worker's unresolved dead letters are about.")
]


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """The options as they were given; together they must all hold."""

    from_offset: FromOffset = None
    to_offset: ToOffset = None
    from_time: FromTime = None
    to_time: ToTime = None
    since: SinceOption = None
    until: UntilOption = None
    call: CallOption = None
    pbx: PbxOption = None
    trunk: TrunkOption = None
    number: NumberOption = None
    result: ResultOption = None
    dead_letters: LettersOption = False

    def check(self, settings: Settings) -> Selection:
        """The selection, without the calls of dead letters, which stand on their topic. Raises UserError."""
        named = None
        if self.call:
            named = tuple(dict.fromkeys(each for text in self.call for each in call_ids(text, settings)))
        selection = Selection(
            from_offsets=offsets_of(self.from_offset or (), "--from-offset"),
            to_offsets=offsets_of(self.to_offset or (), "--to-offset"),
            written_since_ms=written_bound(self.from_time, "--from-time"),
            written_until_ms=written_bound(self.to_time, "--to-time"),
            since=CallTime.of(self.since, "--since", settings) if self.since else None,
            until=CallTime.of(self.until, "--until", settings) if self.until else None,
            calls=named,
            pbxs=known_pbxs(self.pbx or (), settings),
            trunks=tuple(self.trunk or ()),
            numbers=tuple(self.number or ()),
            results=known_results(self.result or ()),
        )
        _refuse_empty(selection.written_since_ms, selection.written_until_ms, "--from-time", "--to-time")
        if selection.since and selection.until and selection.since.of_pbx == selection.until.of_pbx:
            _refuse_empty(selection.since.micros, selection.until.micros, "--since", "--until")
        return selection

    async def selection(self, connection: Connection) -> Selection:
        """The selection. Raises UserError, also where no dead letter is about a call."""
        selection = self.check(connection.settings)
        if not self.dead_letters:
            return selection
        found: dict[str, None] = {}
        async for letter, _ in letters_of(connection, Filter(component="aggregate")):
            if letter.recovery is Recovery.BACKFILL and letter.call_id:
                found[letter.call_id] = None
        if selection.calls is not None:
            found = {each: None for each in found if each in selection.calls}
        if not found:
            raise UserError("no unresolved dead letter of the aggregate worker is about a call that is meant")
        return Selection(
            **{**{name: getattr(selection, name) for name in selection.__struct_fields__}, "calls": tuple(found)}
        )


def _refuse_empty(first: int | None, last: int | None, since: str, until: str) -> None:
    if first is not None and last is not None and first >= last:
        raise UserError(
            f"{until} is not after {since}", "What is asked for begins at the first and ends before the second."
        )
