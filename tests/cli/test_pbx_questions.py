"""`cel2crm pbx add` on a terminal: a real one, with a person who answers; the database is not asked here."""

import os
import pty
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.cli import pbx as commands
from streams.cli import pbx_questions
from streams.cli.pbx_questions import Answers, completed
from streams.errors import UserError
from streams.settings import Settings, load_settings
from tests.cli.commands import Done, run

SETTINGS = "pbx: {name: office}\nnumbers: {region: DE}\n"
PASSWORD = "s3cret-of-branch"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cel2crm.yaml"
    path.write_text(SETTINGS, encoding="utf-8")
    path.chmod(0o644)
    return path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody can be asked; what follows a question in these tests is not done."""
    monkeypatch.setattr(pbx_questions, "on_a_terminal", lambda: True)
    monkeypatch.setattr(commands, "_go_on", lambda *_: None)


def answer(file: Path, *answers: str, words: tuple[str, ...] = ()) -> Done:
    return run("pbx", "add", "branch", *words, "-s", str(file), given="".join(f"{each}\n" for each in answers).encode())


@pytest.mark.usefixtures("terminal")
def test_what_is_not_given_is_asked_for_and_an_answer_that_cannot_be_is_asked_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Settings] = []
    monkeypatch.setattr(commands, "_look_at", looked.append)
    done = answer(
        file,
        *("oracle", "postgresql"), *("", "10.8.0.5"), *("0", ""), "", "asterisk.cel", "",
        *("Mars", "Europe/Berlin"), "", "carrier, mts-* ,", *("/none", ""), PASSWORD, "y",
    )  # fmt: skip
    assert done.status == 0, done.stderr
    for told in ("one of: mariadb, mysql, postgresql", "a number from 1 to", "no file /none", "Mars"):
        assert told in done.stderr
    assert PASSWORD not in done.stderr + done.stdout
    (branch,) = looked
    at = branch.database
    assert (at.engine, at.host, at.port, at.user) == ("postgresql", "10.8.0.5", 5432, "cel2crm")
    assert (at.name, at.table) == ("asteriskcdrdb", "asterisk.cel")
    assert (branch.pbx.timezone, branch.numbers.region) == ("Europe/Berlin", "DE")
    assert branch.numbers.trunks == ("carrier", "mts-*")
    assert load_settings(file).of_pbx("branch") == branch
    made = file.with_name("branch-password")
    assert at.password_file == made and made.read_text(encoding="utf-8") == PASSWORD
    assert stat.S_IMODE(made.stat().st_mode) == 0o640


@pytest.mark.usefixtures("terminal")
def test_what_is_given_is_not_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_look_at", lambda _: None)
    secret = file.with_name("secret")
    secret.write_text(PASSWORD, encoding="utf-8")
    given = {
        "engine": "mariadb", "host": "10.0.0.9", "port": "3307", "user": "reader", "password-file": str(secret),
        "database": "asterisk", "table": "cel", "timezone": "UTC", "region": "RU", "trunk": "mts",
    }  # fmt: skip
    done = answer(file, words=(*(word for name, value in given.items() for word in (f"--{name}", value)), "--yes"))
    assert done.status == 0, done.stderr
    assert "?" not in done.stderr and "Its" not in done.stderr
    assert load_settings(file).of_pbx("branch").database.port == 3307


@pytest.mark.usefixtures("terminal")
def test_a_typed_password_goes_again_where_the_pbx_is_not_added(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Settings) -> None:
        assert file.with_name("branch-password").read_text(encoding="utf-8") == PASSWORD
        raise UserError("no database answers", "Start it.")

    monkeypatch.setattr(commands, "_look_at", away)
    done = answer(file, "", "10.0.0.9", *[""] * 7, "", PASSWORD)
    assert done.status == 2 and "no database answers" in done.stderr
    assert file.read_text(encoding="utf-8") == SETTINGS
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.usefixtures("terminal")
def test_who_gives_up_leaves_everything_as_it_was(file: Path) -> None:
    done = answer(file, "", "10.0.0.9", *[""] * 7, "")  # until the password is asked for
    assert done.status == 1
    assert file.read_text(encoding="utf-8") == SETTINGS and [each.name for each in file.parent.iterdir()] == [file.name]


@pytest.mark.usefixtures("terminal")
def test_a_file_of_a_typed_password_that_is_there_is_not_overwritten(file: Path) -> None:
    there = file.with_name("branch-password")
    there.write_text("another", encoding="utf-8")
    done = answer(file, "", "10.0.0.9", *[""] * 7, "")
    assert done.status == 2 and f"{there} is there already" in done.stderr
    assert there.read_text(encoding="utf-8") == "another" and file.read_text(encoding="utf-8") == SETTINGS


def test_on_a_real_terminal_a_password_is_not_echoed(file: Path) -> None:
    """Nothing listens at the port: the command ends at the database, after its questions."""
    words = ("pbx", "add", "branch", "--host", "127.0.0.1", "--port", "1", "--region", "DE", "--trunk", "mts")
    answers = {"Database of PBX": "", "Name of the": "", "Its table": "", "The capture": "", "File with": ""}
    told = in_terminal(file, *words, answers={**answers, "Password of cel2crm": PASSWORD, "Zone of": "Europe/Berlin"})
    assert PASSWORD not in told
    assert "Europe/Berlin" in told.split("Zone of")[1]  # the terminal does echo what is no secret
    assert "127.0.0.1:1" in told and "is removed again" in told
    assert file.read_text(encoding="utf-8") == SETTINGS and not file.with_name("branch-password").exists()


def in_terminal(file: Path, *words: str, answers: dict[str, str]) -> str:
    """What a terminal shows of a command whose questions are answered, each as it comes."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "streams.cli.main", *words, "-s", str(file)]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    shown, waiting, until = "", dict(answers), time.monotonic() + 60
    try:
        while time.monotonic() < until:
            try:
                shown += os.read(ours, 4096).decode()
            except OSError:  # it has ended
                break
            last = shown.rpartition("\n")[2]
            for question in [each for each in waiting if each in last and last.endswith(": ")]:
                os.write(ours, f"{waiting.pop(question)}\n".encode())
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not waiting, shown
    return shown


def test_nobody_is_asked_where_all_is_given_without_a_terminal(file: Path) -> None:
    given = Answers(host="10.0.0.9", password_file=Path("secret"))
    found = completed(given, "branch", load_settings(file), file)
    assert found.database_section() == {
        "engine": "mariadb", "host": "10.0.0.9", "user": "cel2crm", "password_file": "secret",
        "name": "asteriskcdrdb", "table": "cel",
    }  # fmt: skip
