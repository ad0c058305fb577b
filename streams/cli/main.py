"""The command `cel2crm`."""

import sys

from streams.cli.command_line import command_line
from streams.errors import UserError


def main() -> None:
    """Run a command; a user's mistake ends with one message and exit status 2."""
    try:
        command_line(next(iter(sys.argv[1:]), None))()
    except UserError as error:
        sys.stderr.write(f"cel2crm: {error.problem}\n")
        if error.remedy:
            sys.stderr.write(f"  {error.remedy}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
