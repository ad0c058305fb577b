"""`cel2crm files`: what comes with the product beside its code."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.options import JsonOption
from streams.cli.output import cannot_write, say, say_json
from streams.operations.shipped_files import chosen, copy_files, groups, only_one

app = typer.Typer(help="List, print or copy what comes with the product: SQL, samples, schemas, units.")

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="A group, a file, a folder, or the end of a file's name.")
]


@app.callback(invoke_without_command=True)
def files(context: typer.Context) -> None:
    """List, print or copy what comes with the product: SQL for the PBX's database, samples, schemas, units.

    Examples:

        cel2crm files                                # all, by group
        cel2crm files print mariadb/capture_user.sql | mysql
        cel2crm files copy samples --to /etc/cel2crm
    """
    if context.invoked_subcommand is None:
        _list(None, as_json=False)


@app.command("list")
def list_files(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Show the files, or those of a group, and where they are on this machine."""
    _list(names, as_json=as_json)


@app.command("print")
def print_file(name: Annotated[str, typer.Argument(help="A file, or the end of its name.")]) -> None:
    """Print one file as it is."""
    say(only_one(name).path.read_text(encoding="utf-8").removesuffix("\n"))


@app.command("copy")
def copy(
    names: NamesArgument = None,
    to: Annotated[Path, typer.Option("--to", help="The folder, which is made where it is not there.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also where a file is there and differs.")] = False,
) -> None:
    """Copy files, a group or all into a folder, under their names."""
    try:
        copies = copy_files(chosen(names or ()), to, overwrite=overwrite)
    except OSError as error:
        raise cannot_write(error) from None
    for path in copies:
        say(str(path))


def _list(names: list[str] | None, *, as_json: bool) -> None:
    files_of = chosen(names or ())
    if as_json:
        for file in files_of:
            say_json({"group": file.group, "name": file.name, "path": str(file.path)})
        return
    for group, what in groups().items():
        of_group = [file for file in files_of if file.group == group]
        if of_group:
            say(f"{group}: {what}")
            for file in of_group:
                say(f"  {file.name}")
