"""`cel2crm erase`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from streams.calls.pbx_profile import PbxProfile
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import JsonOption, SettingsOption
from streams.cli.output import add_remark, remark, say_json, say_lines
from streams.cli.prompts import ASK_FROM, ByOption, YesOption, confirm, operator_name
from streams.cli.replay.output_file import whole_file
from streams.erasure import cluster
from streams.erasure.carrying_out import refuse_own
from streams.erasure.certificate import Certificate
from streams.erasure.erasing import Erasing
from streams.erasure.plan import Plan, plan_of
from streams.erasure.search import Search
from streams.errors import UserError
from streams.operations import connection as operations
from streams.operations.masking import masked_text
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings
from streams.settings import Settings, load_settings

HELD = 1
"""Exit status: something holds the number (--dry-run), or is left to be done."""

_WAIT_SECONDS = 30.0


def erase(
    number: Annotated[str, typer.Argument(help="With its country code, in any spelling: +491512345678.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what holds it, and what would be done.")] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(help="File for the certificate (JSON); the same as text beside it, as FILE.txt.", dir_okay=False),
    ] = None,
    as_logged: Annotated[
        bool,
        typer.Option("--as-logged", help="A short or local number, as calls bear it: of whoever has it."),
    ] = False,
    own: Annotated[
        bool, typer.Option("--own", help="An extension, or a number of the PBX itself, is meant all the same.")
    ] = False,
    yes: YesOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Erase a number from all that cel2crm holds: results, legs, deliveries, sinks. No CRM hears of it.

    Its calls stay, without it: counts stay right. Give --dry-run first: it shows what holds the number, and what
    nobody can change (Kafka removes it by its date; CRM entries, by their ids; the PBX's own table). Given again, it
    does what is left, also after a kill. A keyed hash (privacy.hash_key_file) keeps late rows, backfills, replays and
    exports from bringing it back. docs/privacy.md has the rest.

    Exit status 0: nothing holds it, or it is erased; 1: it is held (--dry-run), or something is left to be done, which
    is told; 2: it cannot be done.

    Examples:

        cel2crm erase +491512345678 --dry-run

        cel2crm erase +491512345678 --certificate erased-2026-11-29.json
    """
    settings = load_settings(settings_file)
    spellings = Spellings(PbxProfile.of(settings))
    meant = spellings.meant(number, as_logged=as_logged or own)
    if spellings.is_own(meant) and not own:
        raise UserError(
            f"{number!r} is an extension, or a number of staff (numbers.internal_patterns)",
            "If calls are meant to be without it all the same: --own.",
        )
    key = HashKey.in_settings(settings)
    if key is None and not dry_run:
        raise UserError(
            "without a key, what is erased would come back with the next late row, backfill or replay",
            "Make one (openssl rand -base64 32 > FILE; chmod 600 FILE), set privacy.hash_key_file for every worker and "
            "command, and start the aggregate workers again.",
        )
    quiet_kafka_client()
    search = Search(meant, spellings)
    if dry_run or key is None:
        plan = asyncio.run(_plan(settings, search))
        say_json(plan.to_json()) if as_json else say_lines(plan.lines(_shown(meant, settings)))
        raise typer.Exit(0 if plan.is_empty else HELD)
    _check_place(certificate)
    done = asyncio.run(_erase(settings, search, key, operator_name(by), own=own, yes=yes))
    if certificate is not None:
        _write(certificate, done)
    say_json(done.to_json()) if as_json else say_lines(done.lines())
    if not done.complete:
        raise typer.Exit(HELD)


async def _plan(settings: Settings, search: Search) -> Plan:
    async with operations.connect(settings) as connection:
        seen = await cluster.look_at(connection)
        with _reading_shown() as on_read:
            found = await Erasing(connection, seen, search, on_read, 0.0).inventory()
        return plan_of(found, search, seen, settings)


async def _erase(settings: Settings, search: Search, key: HashKey, by: str, *, own: bool, yes: bool) -> Certificate:
    async with operations.connect(settings) as connection:
        seen = await cluster.look_at(connection)
        with _reading_shown() as on_read:
            erasing = Erasing(connection, seen, search, on_read, _WAIT_SECONDS)
            await erasing.refuse_disobedient(key)
            found = await erasing.inventory()
            if not own:
                refuse_own(search, found)
            plan = plan_of(found, search, seen, settings)
        remark(plan.summary)
        confirm("Erase it? There is no way back.", ASK_FROM, yes=yes)
        await erasing.refuse_disobedient(key)  # a person may have taken an hour to answer
        with _reading_shown() as on_read:
            erasing.on_read = on_read
            return await erasing.run(found, key, by)


def _shown(number: str, settings: Settings) -> str:
    return masked_text(number, numbers=settings.logging.mask_numbers)


def _check_place(certificate: Path | None) -> None:
    """Raises UserError where the certificate has no place: before anything is done, for it may be needed."""
    if certificate is None:
        return
    for path in (certificate, _text_of(certificate)):
        if path.exists():
            raise UserError(f"{path} is there already", "A certificate replaces none: give another name.")
    if not certificate.parent.is_dir():
        raise UserError(f"there is no directory {certificate.parent}", "Make it, or give another name.")


def _write(certificate: Path, done: Certificate) -> None:
    """The text first: where the JSON stands, all is there."""
    with whole_file(_text_of(certificate)) as file:
        file.write(("\n".join(done.lines()) + "\n").encode())
    with whole_file(certificate) as file:
        file.write(orjson.dumps(done.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    add_remark(f"certificate: {certificate} and {_text_of(certificate)}")


def _text_of(certificate: Path) -> Path:
    return certificate.with_name(f"{certificate.name}.txt")


@contextmanager
def _reading_shown() -> Iterator[Callable[[str, int], None]]:
    """Which topic is read, on a terminal."""
    with Console(stderr=True).status("reading") as status:

        def on_read(topic: str, count: int) -> None:
            status.update(f"reading {topic}: {count:,} records")

        yield on_read
