"""Options that every command spells the same way."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.output import remark
from streams.crm.registry import registered
from streams.settings import Settings, load_settings

SettingsOption = Annotated[
    Path | None, typer.Option("--settings", "-s", envvar="CEL2CRM_SETTINGS", help="The settings file (YAML).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines: JSON, one object a line.")]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="The columns of files without a header: cel_custom for the order of the sample in Asterisk's "
        "cel_custom.conf, names between commas, or your mapping's right side.",
        show_default=False,
    ),
]
RulesOption = Annotated[
    Path | None, typer.Option("--rules", help="A rule file instead of those in the settings: what if it were in force?")
]


def settings_with_rules(settings_file: Path | None, rules_file: Path | None) -> Settings:
    """The settings, with the rule file of a what-if in them."""
    settings = load_settings(settings_file)
    if rules_file is None:
        return settings
    return settings.model_copy(update={"rules": settings.rules.what_if(rules_file)})


def warn_of_plugins() -> None:
    """Name on standard error what is wrong with the packages that bring CRMs."""
    for problem in registered().problems:
        remark(f"warning: {problem}")
