"""The command line as a whole; only the command asked for is imported, for some bring clients of Kafka and HTTP."""

import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.version import version

GROUPS = frozenset(
    {"config", "rules", "connectors", "dead-letters", "files", "pbx", "portal", "replay", "topics", "worker"}
)
"""Commands with subcommands: their module has a Typer `app`."""

COMMANDS = {
    "status": "status:status",
    "classify": "classify.command:classify",
    "rules": "rules.commands:app",
    "capture": "capture:capture",
    "explain": "explain:explain",
    "connectors": "connectors:app",
    "pbx": "pbx:app",
    "results": "results:results",
    "missed": "missed:missed",
    "report": "report.command:report",
    "export": "export:export",
    "erase": "erase:erase",
    "deliveries": "deliveries:deliveries",
    "deliver": "deliver:deliver",
    "backfill": "backfill:backfill_calls",
    "gaps": "gaps:gaps",
    "replay": "replay.commands:app",
    "dead-letters": "dead_letters:app",
    "portal": "portal.commands:app",
    "topics": "topics:app",
    "worker": "worker:app",
    "serve-recordings": "serve_recordings:serve_recordings",
    "files": "files:app",
    "config": "config:app",
    "version": "version:version",
    "doctor": "status:status",
}
"""Each command, in the order of --help: its module in streams/cli, and what it is called there."""

_HIDDEN = frozenset({"doctor"})
"""Under these names other products have it."""


@cache
def command_line(asked: str | None = None) -> typer.Typer:
    """The application: with the command that was asked for, or, where there is no such one, with all."""
    app = typer.Typer(
        name="cel2crm",
        help="Turn every phone call that Asterisk logs into one precise outcome, on Kafka and in each CRM.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in [asked] if asked in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(f"streams.cli.{module}"), attribute)
        if name in GROUPS:
            app.add_typer(command, name=name)
        else:
            app.command(name, hidden=name in _HIDDEN)(command)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


def _options(
    settings_file: Annotated[
        Path | None, typer.Option("--settings", "-s", help="The settings file (YAML); also after the command.")
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of the application itself: each command takes its settings from the environment too."""
    if settings_file is not None:
        from streams.settings import SETTINGS_FILE_VARIABLE  # here, for --version and --help do without

        os.environ[SETTINGS_FILE_VARIABLE] = str(settings_file)
