"""Classify on all cores: each process reads the files and classifies its share of the calls; outcomes come in the order
of a single process.

Reading a line as far as its linkedid costs little beside decoding and classifying, and calls have nothing to do with
each other. So nothing has to be handed over but the outcomes.
"""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from multiprocessing.connection import Connection
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from streams.calls.offline import OfflineClassifier
from streams.calls.pbx_profile import PbxProfile
from streams.cli.classify.outcomes import Outcomes
from streams.errors import UserError
from streams.rows.files import RowSource, can_be_shared, none_read
from streams.rows.reading import in_share
from streams.rows.row import RowDecoder
from streams.rows.unreadable import UnreadableLine
from streams.rules import load_rules
from streams.settings import Settings

WORTH_BYTES = 8 * 1024 * 1024
"""Size of an input for which processes are worth their start."""

_CHUNK_BYTES = 64 * 1024

OutcomeLine = tuple[tuple[int, int], bytes]
"""A call's order and its JSON line."""


class _Chunk(NamedTuple):
    lines: list[OutcomeLine]
    read: int
    """Bytes read since the last chunk."""


class _Done(NamedTuple):
    strays: int
    unreadable: list[UnreadableLine]
    remarks: list[str]
    rows_in: Counter[str]
    """Rows that each file holds: the same in every process."""


class _Mistake(NamedTuple):
    problem: str
    remedy: str


def classifying_processes(jobs: int | None, paths: list[Path | None]) -> int:
    """The number of processes that classify: `jobs`, else one a core for a large input; 0: this one alone."""
    files = [path for path in paths if path is not None and path.is_file()]
    if len(files) != len(paths) or not all(map(can_be_shared, files)):
        return 0
    if jobs is not None:
        return jobs if jobs > 1 else 0
    cores = len(os.sched_getaffinity(0))
    return cores if cores > 1 and sum(path.stat().st_size for path in files) >= WORTH_BYTES else 0


@dataclass(slots=True)
class Classifiers:
    """Processes that classify. Make them before a thread runs in this one: they are forked."""

    paths: list[Path]
    settings: Settings
    processes: int
    columns: tuple[str, ...] | None = None
    unreadable: list[UnreadableLine] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    strays: int = 0
    read: int = 0
    """Bytes that each process has read."""
    _rows_in: Counter[str] = field(default_factory=Counter)
    _connections: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("fork")
        for number in range(self.processes):
            here, there = context.Pipe(duplex=False)
            share = number, self.processes
            context.Process(
                target=_work, args=(there, share, self.paths, self.columns, self.settings), daemon=True
            ).start()
            there.close()
            self._connections.append(here)

    def lines(self) -> Iterator[bytes]:
        """The JSON lines of all calls, in the order of a single process.

        Raises UserError: a process cannot go on, or no row of a file could be read.
        """
        streams = [self._receive(number, connection) for number, connection in enumerate(self._connections)]
        for _, line in merge(*streams, key=itemgetter(0)):
            yield line
        self.unreadable.sort()
        for name, rows in self._rows_in.items():
            lost = [each for each in self.unreadable if each.file == name]
            if lost and len(lost) >= rows:
                raise none_read(name, len(lost), lost[0])

    def _receive(self, number: int, connection: Connection) -> Iterator[OutcomeLine]:
        while True:
            try:
                message = connection.recv()
            except EOFError:
                raise UserError(
                    "a process that classifies was killed", "Is memory short? Try again with --jobs 1."
                ) from None
            match message:
                case _Chunk():
                    self.read = self.read if number else message.read
                    yield from message.lines
                case _Done():
                    self.strays += message.strays
                    self.unreadable += message.unreadable
                    self.remarks = self.remarks or message.remarks
                    self._rows_in = message.rows_in
                    return
                case _Mistake():
                    raise UserError(*message)


def _work(
    there: Connection, share: tuple[int, int], paths: list[Path], columns: tuple[str, ...] | None, settings: Settings
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process tells what is to be told
    try:
        there.send(_classify_share(there, share, paths, columns, settings))
    except UserError as error:
        there.send(_Mistake(error.problem, error.remedy))
    except BrokenPipeError:
        return  # nobody reads any more


def _classify_share(
    there: Connection, share: tuple[int, int], paths: list[Path], columns: tuple[str, ...] | None, settings: Settings
) -> _Done:
    rules, profile = load_rules(settings.rules), PbxProfile.of(settings)
    outcomes = Outcomes(rules, settings)
    unreadable: list[UnreadableLine] = []
    remarks: list[str] = []
    read, size, lines = 0, 0, list[OutcomeLine]()

    def progress(more: int) -> None:
        nonlocal read
        read += more

    def refused(line: UnreadableLine) -> None:
        classifier.lost(line.linkedids)
        if not source.undivided or share[0] == 0:
            unreadable.append(line)

    decoder = RowDecoder(settings.database.column_name_aliases, settings.pbx.name)
    source = RowSource(decoder, refused, progress, share, columns, remarks.append)
    classifier = OfflineClassifier(
        rules, profile, settings.pbx.name, lambda: source.place, settings.aggregate.time_limit_seconds
    )
    rows = (row for path in paths for row in source.rows(path) if not source.undivided or in_share(row.linkedid, share))
    for line, order in outcomes.json_lines(classifier, rows):
        lines.append((order, line))
        size += len(line)
        if size > _CHUNK_BYTES:
            there.send(_Chunk(lines, read))
            size, lines = 0, []
    there.send(_Chunk(lines, read))
    return _Done(classifier.strays, unreadable, remarks, source.rows_in)
