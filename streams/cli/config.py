"""`cel2crm config`: the settings in force, and whether they can be used."""

import os
import sys
from typing import Annotated, Any

import typer
import yaml

from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import remark, say, say_json
from streams.errors import SettingsError
from streams.settings import SETTINGS_FILE_VARIABLE, Settings, load_settings
from streams.settings.files import faults_of_files

app = typer.Typer(no_args_is_help=True, help="Show the settings in force, or check them.")

AllOption = Annotated[bool, typer.Option("--all", help="Those that have their default value too.")]


@app.command("show")
def show(everything: AllOption = False, settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Show the settings in force, file and environment together. Secrets are never shown, files only named.

    Examples:

        cel2crm config show                  # what differs from the defaults
        cel2crm config show --all | less
    """
    settings = load_settings(settings_file)
    tree: dict[str, Any] = settings.model_dump(mode="json", exclude_defaults=not everything)
    if as_json:
        say_json(tree)
    else:
        say(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip() if tree else "# all have their defaults")


@app.command("check")
def check(settings_file: SettingsOption = None) -> None:
    """Check the settings, and that the files which they name can be read; no server is asked (`cel2crm status` does).

    Exit status 2: they cannot be used.
    """
    settings = load_settings(settings_file)
    named = str(settings_file or os.environ.get(SETTINGS_FILE_VARIABLE) or "")
    if faults := faults_of_files(settings):
        raise SettingsError("these files cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    if not named and settings == Settings():
        remark("no settings file is named (--settings, CEL2CRM_SETTINGS): these are the defaults")
        sys.exit(2)
    say(f"{named or 'the environment'}: can be used")
