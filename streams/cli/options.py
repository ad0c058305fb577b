"""Options that every command spells the same way."""

from pathlib import Path
from typing import Annotated

import typer

SettingsOption = Annotated[
    Path | None, typer.Option("--settings", "-s", envvar="CEL2CRM_SETTINGS", help="The settings file (YAML).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines: JSON, one object a line.")]
