"""One connection for a command that asks its user something between reading and writing."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from streams.operations import connection as operations
from streams.operations.connection import Connection
from streams.settings import Settings


@contextmanager
def connected(settings: Settings) -> Iterator[tuple[Connection, asyncio.Runner]]:
    """A connection, and the runner that works on it: `runner.run(coroutine)`.

    Between two runs the loop stands still, so that a person can be asked, and Ctrl-C ends the command at once. Raises
    UserError: no broker, no registry.
    """
    with asyncio.Runner() as runner:
        opened = operations.connect(settings)
        connection = runner.run(opened.__aenter__())
        try:
            yield connection, runner
        finally:
            runner.run(opened.__aexit__(*sys.exc_info()))
