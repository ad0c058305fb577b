"""Judging on all cores: this process sorts the lines by call, others judge; told in the order of one process.

Decoding and judging are nearly all the work, and calls have nothing to do with each other.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from streams.calls.batch import Batch
from streams.calls.call import Call, Ending
from streams.calls.judge import judge_story
from streams.calls.site import Site
from streams.cli.outcomes import Outcomes
from streams.errors import UnreadableRow, UserError
from streams.rows.files import RowSource
from streams.rows.raw import RawRow, is_json_lines, raw_rows
from streams.rows.row import RowDecoder
from streams.rules import Rules, load_rules
from streams.settings import Settings

WORTH_BYTES = 32 * 1024 * 1024
"""Of input: with less, starting processes takes longer than they save."""

_CHUNK = 256
"""Calls that are judged at once."""

_Lines = list[tuple[int, bytes]]
_Sent = list[tuple[str, str, bool, _Lines]]
_Answer = tuple[bytes, list[tuple[int, str]]]


class RawCall(Ending):
    """A call's lines."""

    __slots__ = ("lines",)

    def __init__(self, pbx: str, linkedid: str) -> None:
        super().__init__(pbx, linkedid)
        self.lines: _Lines = []

    def add(self, row: RawRow) -> None:
        """Keep a line; whoever decodes it finds the repeated ones."""
        self.lines.append((row.place, row.line))
        self.see(row.eventtype, row.uniqueid, row.channame)


def judging_processes(jobs: int | None, paths: list[Path | None], settings: Settings) -> int:
    """How many processes are to judge: `jobs`, else one a core where the input is large enough; 0: this one alone."""
    files = [path for path in paths if path is not None and path.is_file()]
    if len(files) != len(paths) or settings.database.column_name_aliases or not all(map(is_json_lines, files)):
        return 0
    if jobs is not None:
        return jobs if jobs > 1 else 0
    cores = len(os.sched_getaffinity(0))
    return cores if cores > 1 and sum(path.stat().st_size for path in files) >= WORTH_BYTES else 0


def judged_lines(batch: Batch, source: RowSource, paths: list[Path], settings: Settings, jobs: int) -> Iterator[bytes]:
    """JSON lines of the files' calls, in the order of one process. Raises UserError where a process is killed."""
    rows = (row for path in paths for row in raw_rows(source, path))
    calls = batch.sorted_out(rows, RawCall, RawCall.add)
    name = str(paths[0]) if len(paths) == 1 else "one of the files"
    # Never by fork: a progress bar's thread may run.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (settings,)) as pool:
        waiting: deque[Future[_Answer]] = deque()
        try:
            while chunk := list(islice(calls, _CHUNK)):
                waiting.append(pool.submit(_judge, [(call.pbx, call.linkedid, cut, call.lines) for call, cut in chunk]))
                if len(waiting) > 2 * jobs:  # the reader must not run ahead: memory follows open calls
                    yield _taken(waiting.popleft(), source.on_unreadable, name)
            while waiting:
                yield _taken(waiting.popleft(), source.on_unreadable, name)
        except BrokenProcessPool:
            raise UserError("a judging process was killed", "Is memory short? Try again with --jobs 1.") from None
        finally:
            for future in waiting:
                future.cancel()


def _taken(future: Future[_Answer], on_unreadable: Callable[[str, int, str], None], name: str) -> bytes:
    lines, unreadable = future.result()
    for place, reason in unreadable:
        on_unreadable(name, place, reason)
    return lines


_rules: Rules
_site: Site
_outcomes: Outcomes
_decoder: RowDecoder


def _start(settings: Settings) -> None:
    global _rules, _site, _outcomes, _decoder  # noqa: PLW0603 - one of each per process
    _rules, _site = load_rules(settings.rules), Site.of(settings)
    _outcomes = Outcomes(_rules, settings)
    _decoder = RowDecoder(None, settings.pbx.name)


def _judge(sent: _Sent) -> _Answer:
    told: list[bytes] = []
    unreadable: list[tuple[int, str]] = []
    for pbx, linkedid, cut_short, lines in sent:
        call = Call(pbx, linkedid)
        for place, line in lines:
            try:
                call.add(_decoder.decode(line))
            except UnreadableRow as error:
                unreadable.append((place, str(error)))
        if call.rows:
            told.append(_outcomes.json_line(judge_story(call, _rules, _site, cut_short=cut_short)[1]))
    return b"".join(told), unreadable
