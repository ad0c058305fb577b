"""`cel2crm portal`: the accounts at the CRMs, and what lets the product in."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.options import SettingsOption
from streams.cli.output import say
from streams.cli.portal.authorise import authorise
from streams.cli.portal.check import check
from streams.cli.portal.enable import enable
from streams.cli.portal.probe import probe
from streams.cli.portal.status import status
from streams.cli.portal.unmatched import unmatched
from streams.errors import UserError
from streams.settings import load_settings

app = typer.Typer(help="See and authorise the portals of the settings.", no_args_is_help=True)
app.command("authorise")(authorise)
app.command("check")(check)
app.command("enable")(enable)
app.command("probe")(probe)
app.command("status")(status)
app.command("unmatched")(unmatched)


@app.command("new-key")
def new_key(
    file: Annotated[
        Path | None, typer.Argument(help="Where to; default: credentials.key_file of the settings.")
    ] = None,
    settings: SettingsOption = None,
    add: Annotated[bool, typer.Option("--add", help="Put a new key on top of the file's others.")] = False,
) -> None:
    """Make the key that encrypts stored tokens, in a file that only its owner may read.

    Every worker and `portal authorise` need the same file. Example:

      cel2crm portal new-key /etc/cel2crm/credentials-key

    To replace a key: --add on one machine, copy the file to all, restart the workers. The old key may go from the file
    when every portal's tokens have been renewed since, or after `cel2crm portal authorise`.
    """
    from streams.credentials.sealing import write_new_key

    target = file or load_settings(settings).credentials.key_file
    if target is None:
        raise UserError("no file is named", "Give one, or set credentials.key_file.")
    write_new_key(target, add=add)
    say(f"{target}: {'new key on top' if add else 'made'}; set credentials.key_file to it wherever tokens are used")
