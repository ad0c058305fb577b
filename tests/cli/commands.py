"""`cel2crm` called in this process: a second of imports is paid once, not for every test."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from typer.testing import CliRunner

from streams.cli.command_line import command_line
from streams.cli.main import main
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


def as_process(*arguments: str) -> Done:
    """A command as `main` ends it, its messages included."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", ["cel2crm", *arguments]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Done(status, out.getvalue(), err.getvalue())
