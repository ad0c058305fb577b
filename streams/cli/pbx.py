"""`cel2crm pbx`: one PBX more in an installation."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from connectors.apply import apply_source
from connectors.client import describe_status
from connectors.engines import engine_of
from connectors.topics import apply_topics
from streams.calls.call import epoch_of
from streams.calls.pbx_profile import PbxProfile
from streams.calls.rules_in_force import settings_hash
from streams.cli.logging_setup import quiet_kafka_client
from streams.cli.options import SettingsOption
from streams.cli.output import add_remark, say
from streams.cli.pbx_questions import DATABASE, TABLE, USER, Answers, completed
from streams.cli.prompts import YesOption
from streams.clock import MICROS_PER_SECOND
from streams.errors import SettingsError, UserError
from streams.operations import connection as operations
from streams.operations.cel_table import last_row
from streams.operations.pbx_listing import with_pbx
from streams.rows.eventtime import wall_micros
from streams.rules import hash_in_force, load_rules
from streams.settings import SETTINGS_FILE_VARIABLE, Settings, load_settings
from streams.settings.pbx import PbxSettings
from streams.topics import RULES_IN_FORCE
from streams.workers.aggregate.other_workers import rules_told

app = typer.Typer(help="PBXs of this installation: add one, see them.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: part of every call id, never changed.")],
    engine: Annotated[str | None, typer.Option(help="mariadb, mysql or postgresql.", show_default=False)] = None,
    host: Annotated[str | None, typer.Option(help="Host of its database.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Its port.", show_default=False)] = None,
    user: Annotated[str | None, typer.Option(help=f"Its capture user ({USER}).", show_default=False)] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="A file with that user's password.", show_default=False)
    ] = None,
    password_reference: Annotated[
        str | None, typer.Option(help="How Kafka Connect finds it (ConfigProvider).", show_default=False)
    ] = None,
    database: Annotated[
        str | None, typer.Option(help=f"Name of the database ({DATABASE}).", show_default=False)
    ] = None,
    table: Annotated[str | None, typer.Option(help=f"Its table ({TABLE}).", show_default=False)] = None,
    extra: Annotated[str | None, typer.Option(help="What the column extra is called.", show_default=False)] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Zone of its clock; none: as its rows tell.", show_default=False)
    ] = None,
    region: Annotated[str | None, typer.Option(help="Country of its numbers, such as RU.", show_default=False)] = None,
    trunk: Annotated[
        list[str] | None, typer.Option(help="A trunk; may be given again, the end may be *.", show_default=False)
    ] = None,
    yes: YesOption = False,
    settings_file: SettingsOption = None,
) -> None:
    """Add a PBX: ask what must be known, look at its database, write it into the settings, and capture it.

    What is not given is asked for on a terminal; elsewhere --host and --password-file have to be given. A password that
    is typed is never shown, and goes into the file <NAME>-password beside the settings. The database is checked as
    `connectors apply` does before anything is written; the settings file of before is kept beside. While an aggregate
    worker runs that does not know the PBX yet, it is not captured, for its calls would be judged by the numbers of
    another one: the command names what is left to do.

    Example:

        cel2crm pbx add branch --engine postgresql --host 10.8.0.5 --password-file /etc/cel2crm/branch-password
    """
    path = _file_of(settings_file)
    quiet_kafka_client()
    before = load_settings(path)
    _require_new(before, name)
    given = Answers(engine, host, port, user, password_file, database, table, extra, timezone, region, trunk)
    answers = completed(given, name, before, path)
    try:
        reference = _write_into_settings(path, before, name, answers, password_reference, yes=yes)
    except BaseException:
        if answers.made is not None:
            answers.made.unlink(missing_ok=True)
            add_remark(f"the password was not kept: {answers.made} is removed again")
        raise
    say(f"PBX {name} is in {path} (as it was: {_backup(path, name).name})")
    if answers.made is not None:
        add_remark(f"the password is in {answers.made}: every user that runs cel2crm has to be able to read it")
    add_remark(f"Kafka Connect finds the password by {reference}: it has to be there, on Connect's host")
    _go_on(load_settings(path), name)


@app.command(name="list")
def list_pbxs(settings_file: SettingsOption = None) -> None:
    """Show the PBXs of the settings: name, database, zone, trunks."""
    settings = load_settings(settings_file)
    for each in settings.each_pbx():
        at, zone = each.database, each.pbx.timezone or "zone as its rows tell"
        trunks = ", ".join(each.numbers.trunks) or "no trunk named"
        say(f"{each.pbx.name}: {at.engine} {at.name}.{at.table} at {at.host}:{at.port}, {zone}, {trunks}")
    if not settings.pbxs:
        for other in settings.other_pbxs:
            say(f"{other.name}: its database is not in these settings")


def _file_of(given: Path | None) -> Path:
    path = given or (Path(named) if (named := os.environ.get(SETTINGS_FILE_VARIABLE)) else None)
    if path is None:
        raise UserError("it is not said which settings file", f"Give --settings, or set {SETTINGS_FILE_VARIABLE}.")
    if not path.is_file():
        raise UserError(f"there is no settings file {path}")
    return path


def _require_new(before: Settings, name: str) -> None:
    """Raise UserError, before anything is asked, for a name that cannot be one, or is there already."""
    try:
        PbxSettings(name=name)
    except ValidationError:
        raise UserError(
            f"{name!r} cannot be the name of a PBX",
            "Letters, digits, hyphens and underscores, 32 at most, the first a letter or digit.",
        ) from None
    if name in before.pbx_names:
        raise UserError(f"PBX {name} is in the settings already", "Change it there.")


def _write_into_settings(
    path: Path, before: Settings, name: str, answers: Answers, password_reference: str | None, *, yes: bool
) -> str:
    """Check the PBX's database and write the PBX into the settings. Returns how Connect finds its password.

    Raises UserError: something is wrong; typer.Abort: it is not wanted. The file is as it was then.
    """
    reference = password_reference or before.connect.password_reference.replace("cel.password", f"{name}.password")
    item: dict[str, Any] = {"name": name, **({"timezone": answers.timezone} if answers.timezone else {})}
    item |= {"database": answers.database_section(), "password_reference": reference}
    item["numbers"] = {"region": answers.region or before.numbers.region, "trunks": list(answers.trunks or ())}
    text = with_pbx(path.read_text(encoding="utf-8"), item)
    _look_at(_checked(text, path).of_pbx(name))
    if not yes and not typer.confirm(f"Write PBX {name} into {path}?", default=True, err=True):
        raise typer.Abort
    _write(path, text, name)
    return reference


def _checked(text: str, path: Path) -> Settings:
    """The settings that a text would be. Raises SettingsError with every fault."""
    with tempfile.TemporaryDirectory(prefix="cel2crm-") as folder:
        file = Path(folder) / path.name
        file.write_text(text, encoding="utf-8")
        try:
            return load_settings(file)
        except SettingsError as error:
            raise SettingsError(str(error.problem).replace(str(file), str(path)), error.remedy) from None


def _look_at(settings: Settings) -> None:
    """Check the database as the capture will, and tell what its clock is. Raises UserError."""
    for warning in asyncio.run(engine_of(settings).check(settings)):
        add_remark(f"warning: {warning}")
    row = last_row(settings)
    began, wall = (epoch_of(row.uniqueid), wall_micros(row.eventtime)) if row else (None, None)
    if row is None or began is None or wall is None:
        add_remark("the table holds no row from which its clock could be told")
        return
    hours = round((wall / MICROS_PER_SECOND - began) / 900) / 4
    add_remark(f"the last row is {row.id} of {row.eventtime}: its clock is about UTC{hours:+g}")


def _write(path: Path, text: str, name: str) -> None:
    backup = _backup(path, name)
    shutil.copy2(path, backup)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.touch(mode=0o600)
        shutil.copymode(path, partial)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror}", f"It is as it was; a copy: {backup}.") from None


def _backup(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.before-{name}")


def _go_on(settings: Settings, name: str) -> None:
    """Make its topics; capture it where every worker knows it, else say what is left."""
    for change in asyncio.run(apply_topics(settings)):
        if change.action != "unchanged":
            add_remark(f"{change.topic}: {change.action}")
    if asyncio.run(_workers_know(settings)):
        applied = asyncio.run(apply_source(settings.of_pbx(name), add_remark))
        say(f"{describe_status(applied.status)} ({applied.action})")
        say("What is left: restart cel2crm connectors watch, which watches the PBXs that it was started with")
        return
    say("What is left, in this order:")
    say("    restart every aggregate worker with this file: until then its calls would be judged as another PBX's")
    say(f"    cel2crm connectors apply --pbx {name}")
    say("    restart cel2crm connectors watch")


async def _workers_know(settings: Settings) -> bool:
    """Whether the owners of all partitions judge by these settings; True also where no worker ever ran."""
    async with operations.connect(settings) as connection:
        told = await rules_told(connection.topics, connection.topic(RULES_IN_FORCE))
    rules = load_rules(settings.rules)
    ours = settings_hash(settings, hash_in_force(rules.hash, PbxProfile.of(settings).hash))
    return all(each.settings_hash == ours for each in told.values())
