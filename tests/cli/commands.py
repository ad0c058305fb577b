"""`cel2crm` called in this process: a second of imports is paid once, not for every test."""

from typing import NamedTuple

from typer.testing import CliRunner

from streams.cli.command_line import command_line
from streams.errors import UserError


class Done(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


def run(*arguments: str, given: bytes | None = None) -> Done:
    """A command with standard input; a mistake that a user can mend ends it as `main` does."""
    done = CliRunner().invoke(command_line(), arguments, input=given)
    if isinstance(done.exception, UserError):
        return Done(2, done.stdout, f"{done.stderr}{done.exception}")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)
