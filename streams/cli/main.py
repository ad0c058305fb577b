"""The command `cel2crm`."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

from streams.cli import output
from streams.cli.command_line import command_line
from streams.errors import UserError


def main() -> None:
    """Run a command; a user's mistake ends with one message and exit status 2."""
    _make_writable()
    try:
        _run()
    except UserError as error:
        output.remark(error.problem)
        if error.remedy:
            output.add_remark(f"  {error.remedy}")
        sys.exit(2)
    except BrokenPipeError:
        output.lead_nowhere()
        sys.exit(1)


def _run() -> None:
    """Raises UserError also where the output cannot be written."""
    try:
        try:
            command_line(next(iter(sys.argv[1:]), None))()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output.cannot_write(error) from None


def _make_writable() -> None:
    """Standard output that is closed, or whose encoding lacks a letter, is no reason to fail."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
