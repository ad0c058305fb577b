"""Before much is done: how much it is, whether to go on, and how far it is."""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.errors import UserError

ASK_FROM = 10
"""Commands that do fewer things than this do not ask."""

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for scripts.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who orders it; default: the user's name.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why, in your words; stands in every record of it.")]


def operator_name(by: str | None) -> str:
    """The name of who gives the command: `by`, or the user's. Raises UserError where it is not known."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        raise UserError("it is not known who orders this", "Give --by NAME.") from None


def confirm(question: str, count: int, *, yes: bool) -> None:
    """Ask whether to do `count` things, unless they are few or `yes` was given.

    Raises typer.Abort where the answer is no, UserError where nobody can answer.
    """
    if yes or count < ASK_FROM:
        return
    try:
        typer.confirm(question, abort=True, err=True)
    except (EOFError, typer.Abort) as error:
        if isinstance(error, EOFError) or not sys.stdin.isatty():
            raise UserError("not confirmed; nothing was done", "For scripts: --yes.") from None
        raise


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; the function that it gives takes each advance."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
