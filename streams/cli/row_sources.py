"""Where commands that look up one call find its rows: files, a database, the topic."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from streams.calls.topic_rows import topic_decoder
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.output import remark
from streams.cli.unreadable_rows import UnreadableRows
from streams.errors import UserError
from streams.rows.columns import columns_named
from streams.rows.row import RowDecoder
from streams.settings import DatabaseSettings, Settings
from streams.sources.database import DatabaseRows
from streams.sources.database_url import database_from_url, is_database_url
from streams.sources.finding import FileFinder, RowFinder
from streams.topics import CEL

SourceArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE|URL]...",
        help="Files as classify reads them (- is standard input), or a database: mysql://user@host/asteriskcdrdb, "
        "mariadb://.., postgresql://..; nothing: the database of the settings.",
        show_default=False,
    ),
]
TopicOption = Annotated[
    bool,
    typer.Option(
        "--topic",
        help="Read the cel topic of the settings' Kafka instead: the partitions of the linkedids that rows name, so "
        "a call that a channel moved to, and that no row of this one names, is found in files and databases alone.",
    ),
]


def one_database(sources: Sequence[str], settings: Settings) -> DatabaseSettings | None:
    """The database that a command is given; None: files. Raises UserError for a mixture."""
    urls = [source for source in sources if is_database_url(source)]
    if not urls:
        return None
    if len(sources) > 1:
        raise UserError("a database is read alone, without files or a second one", "Call the command once for each.")
    return database_from_url(urls[0], settings.database)


@contextmanager
def row_finder(
    sources: Sequence[str], settings: Settings, *, topic: bool, columns: str | None = None
) -> Iterator[RowFinder]:
    """The source that the arguments name, open for look-ups; says at the end which rows of files could not be read.

    `columns`: the option of that name. Raises UserError where it cannot be opened.
    """
    decoder = topic_decoder(settings) if topic else RowDecoder(settings.database.column_name_aliases, settings.pbx.name)
    if topic:
        if sources:
            raise UserError("--topic reads the cel topic, not files or a database", "Leave one of them out.")
        from streams.sources.topic import TopicFinder  # Kafka's client: not for files

        quiet_kafka_client()
        yield TopicFinder(settings.kafka, settings.kafka.topic(CEL), decoder)
        return
    database = one_database(sources, settings) if sources else settings.database
    with ExitStack() as opened:
        if database is not None:
            yield opened.enter_context(DatabaseRows(database, decoder))
        else:
            paths = [_path(source, opened) for source in sources]
            finder = FileFinder(paths, decoder, columns_named(columns) if columns else None)
            yield finder
            unreadable = UnreadableRows()
            for line in finder.unreadable:
                unreadable(line)
            unreadable.report()
            for words in finder.remarks:
                remark(words)


def _path(source: str, opened: ExitStack) -> Path:
    """Standard input is copied: a look-up reads more than once."""
    if source != "-":
        return Path(source)
    copy = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cel2crm-"))) / "rows"
    with copy.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return copy
