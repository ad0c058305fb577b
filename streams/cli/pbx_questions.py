"""`cel2crm pbx add`: what is not given as an option is asked for on a terminal; elsewhere its options are named."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from connectors.engines import ENGINES
from streams.errors import UserError
from streams.settings import Settings
from streams.settings.pbx import POSTGRESQL_PORT, DatabaseSettings
from streams.settings.values import MOST_PORT, Region, ZoneName

USER = "cel2crm"
DATABASE = "asteriskcdrdb"
TABLE = "cel"


@dataclass(slots=True)
class Answers:
    """What must be known of a PBX, as options give it; None: not given."""

    engine: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password_file: Path | None = None
    database: str | None = None
    table: str | None = None
    extra: str | None = None
    timezone: str | None = None
    region: str | None = None
    trunks: list[str] | None = None
    made: Path | None = None
    """The password file that was made of a typed password."""

    def database_section(self) -> dict[str, Any]:
        """The section `database` of this PBX."""
        given = {
            "engine": self.engine, "host": self.host, "port": self.port, "user": self.user or USER,
            "password_file": None if self.password_file is None else str(self.password_file),
            "name": self.database or DATABASE, "table": self.table or TABLE,
        }  # fmt: skip
        section: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.extra:
            section["column_name_aliases"] = {"cel_extra": self.extra}
        return section


def completed(given: Answers, name: str, before: Settings, settings_file: Path) -> Answers:
    """The answers with what was missing. Raises UserError: an engine that cannot be captured, or nobody can be asked.

    A password that is typed is never shown, and goes into a file beside the settings file, `<name>-password`.
    """
    if given.engine is not None and given.engine not in ENGINES:
        raise UserError(f"--engine {given.engine!r} cannot be captured", f"One of: {', '.join(ENGINES)}.")
    if not on_a_terminal():
        _require_given(given)
        given.engine = given.engine or DatabaseSettings().engine
        return given
    _ask_for_database(given, name)
    _ask_for_numbers(given, before)
    if given.password_file is None:  # last: whoever gives up before leaves no file
        given.password_file = _asked_password(given, name, settings_file.absolute())
    return given


def on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _require_given(given: Answers) -> None:
    needed = {"--host": given.host, "--password-file": given.password_file}
    if lacking := [option for option, value in needed.items() if value is None]:
        raise UserError(
            f"not given: {', '.join(lacking)}; and standard input is no terminal, so that nobody can be asked",
            "Give them as options (cel2crm pbx add --help), or run it on a terminal.",
        )


def _ask_for_database(given: Answers, name: str) -> None:
    if given.engine is None:
        usual_engine = DatabaseSettings().engine
        given.engine = _ask(f"Database of PBX {name} ({', '.join(ENGINES)})", usual_engine, _one_of_the_engines)
    given.host = given.host or _ask("Its host", None, _some_text)
    if given.port is None:
        usual = POSTGRESQL_PORT if given.engine == "postgresql" else DatabaseSettings().port
        given.port = int(_ask("Its port", str(usual), _port))
    given.database = given.database or _ask("Name of the database", DATABASE, _some_text)
    given.table = given.table or _ask("Its table", TABLE, _some_text)
    given.user = given.user or _ask("The capture user", USER, _some_text)


def _ask_for_numbers(given: Answers, before: Settings) -> None:
    if given.timezone is None:
        zone = _ask("Zone of its clock, such as Europe/Moscow (Enter: as its rows tell)", "", _zone)
        given.timezone = zone or None
    given.region = given.region or _ask("Country of its numbers", before.numbers.region, _region)
    if not given.trunks:
        told = _ask("Its trunks, with commas between (the end may be *; Enter: none named)", "", str)
        given.trunks = [trunk for each in told.split(",") if (trunk := each.strip())]


def _asked_password(given: Answers, name: str, settings_file: Path) -> Path:
    """The file that is named, or made of the password that is typed."""
    file = settings_file.with_name(f"{name}-password")
    question = f"File with the password of {given.user} (Enter: type the password)"
    named = _ask(question, "", _readable_file)
    if named:
        return Path(named).absolute()
    if file.exists():
        raise UserError(
            f"{file} is there already", f"If it holds the password of this user: give --password-file {file}."
        )
    password = typer.prompt(f"Password of {given.user} (it is not shown)", hide_input=True, err=True)
    _write_secret(file, password, settings_file)
    given.made = file
    return file


def _write_secret(file: Path, password: str, settings_file: Path) -> None:
    """Readable by its owner, and by the settings file's group where that may read the settings."""
    made = False
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            made = True
            opened.write(password)
        shutil.chown(file, group=settings_file.stat().st_gid)
        file.chmod(settings_file.stat().st_mode & 0o640)
    except OSError as error:
        if made:
            file.unlink(missing_ok=True)
        raise UserError(f"{file} cannot be written: {error.strerror}", "Give --password-file.") from None


def _ask(question: str, default: str | None, checked: Callable[[str], str]) -> str:
    """Ask until the answer can be used."""

    def value(answer: str) -> str:
        try:
            return checked(answer.strip())
        except ValidationError as error:
            raise typer.BadParameter(error.errors()[0]["msg"]) from None
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    shown = bool(default)
    return str(typer.prompt(question, default=default, show_default=shown, value_proc=value, err=True))


def _one_of_the_engines(answer: str) -> str:
    if answer not in ENGINES:
        raise ValueError(f"one of: {', '.join(ENGINES)}")
    return answer


def _some_text(answer: str) -> str:
    if not answer:
        raise ValueError("it has to be known")
    return answer


def _port(answer: str) -> str:
    if not answer.isdecimal() or not 1 <= int(answer) <= MOST_PORT:
        raise ValueError(f"a number from 1 to {MOST_PORT}")
    return answer


def _zone(answer: str) -> str:
    return answer and str(TypeAdapter(ZoneName).validate_python(answer))


def _region(answer: str) -> str:
    return str(TypeAdapter(Region).validate_python(answer))


def _readable_file(answer: str) -> str:
    if answer and not Path(answer).is_file():
        raise ValueError(f"there is no file {answer}")
    return answer
