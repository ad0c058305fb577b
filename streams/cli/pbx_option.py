"""The option `--pbx` of commands that work on one PBX's database, where the settings list several."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from streams.cli.output import add_remark
from streams.errors import UserError
from streams.settings import Settings

AT_ONCE = 8
"""PBXs that are worked on at once: most of it is waiting, for each one's database and for Kafka Connect."""

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
            _tell(error, lambda line: add_remark(f"  {line}"))
    _require_none(failed)


async def at_once_for_each_pbx(
    chosen: tuple[Settings, ...], act: Callable[[Settings, Callable[[str], None]], Awaitable[None]]
) -> None:
    """As for_each_pbx, several PBXs at once; the lines that `act` gives to its second argument name the PBX."""
    if len(chosen) == 1:
        await act(chosen[0], add_remark)
        return
    turns, failed = asyncio.Semaphore(AT_ONCE), []

    async def act_on(settings: Settings) -> None:
        def tell(line: str) -> None:
            add_remark(f"PBX {settings.pbx.name}: {line}")

        async with turns:
            try:
                await act(settings, tell)
            except UserError as error:
                failed.append(settings.pbx.name)
                _tell(error, tell)

    async with asyncio.TaskGroup() as acting:
        for each in chosen:
            acting.create_task(act_on(each))
    _require_none([name for name in (each.pbx.name for each in chosen) if name in failed])


def _tell(error: UserError, tell: Callable[[str], None]) -> None:
    tell(str(error.problem))
    if error.remedy:
        tell(f"  {error.remedy}")


def _require_none(failed: list[str]) -> None:
    if failed:
        raise UserError(f"not done for PBX {', '.join(failed)}", "See above; then give it again with --pbx NAME.")
