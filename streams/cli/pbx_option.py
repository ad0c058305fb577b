"""The option `--pbx` of commands that work on one PBX's database, where the settings list several."""

from collections.abc import Callable
from typing import Annotated

import typer

from streams.cli.output import add_remark
from streams.errors import UserError
from streams.settings import Settings

PbxOption = Annotated[
    str | None,
    typer.Option("--pbx", metavar="NAME", help="One PBX of several; without it, each in turn.", show_default=False),
]
OnePbxOption = Annotated[
    str | None, typer.Option("--pbx", metavar="NAME", help="Which PBX, where there are several.", show_default=False)
]


def chosen_pbxs(settings: Settings, name: str | None) -> tuple[Settings, ...]:
    """The settings of the PBX of that name, or of each. Raises SettingsError: there is none, or without a database."""
    return settings.each_pbx() if name is None else (settings.of_pbx(name),)


def one_pbx(settings: Settings, name: str | None) -> Settings:
    """The settings of the PBX of that name, or of the only one. Raises UserError: there are several."""
    if name is None and len(settings.pbxs) > 1:
        raise UserError("it is not said which PBX", f"Give --pbx with one of: {', '.join(settings.pbx_names)}.")
    return settings.of_pbx(name or settings.pbx.name)


def for_each_pbx(chosen: tuple[Settings, ...], act: Callable[[Settings], None]) -> None:
    """Do something for each PBX; a fault of one does not keep the others from it, and is told at once.

    Raises the UserError of the only one, or one that names those that failed.
    """
    if len(chosen) == 1:
        act(chosen[0])
        return
    failed = []
    for each in chosen:
        add_remark(f"PBX {each.pbx.name}:")
        try:
            act(each)
        except UserError as error:
            failed.append(each.pbx.name)
            add_remark(f"  {error.problem}")
            if error.remedy:
                add_remark(f"    {error.remedy}")
    if failed:
        raise UserError(f"not done for PBX {', '.join(failed)}", "See above; then give it again with --pbx NAME.")
