"""`cel2crm pbx`, and `--pbx` of the commands that work on one PBX's database; with servers: tests/databases."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.pbx_option import AT_ONCE, at_once_for_each_pbx, chosen_pbxs, for_each_pbx, one_pbx
from streams.errors import SettingsError, UserError
from streams.settings import Settings
from tests.cli.commands import run

TWO = """\
pbxs:
  - name: office
    timezone: Europe/Moscow
    database: {host: 10.0.0.5}
    numbers: {trunks: [sipnet, "mts-*"]}
  - name: branch
    database: {engine: postgresql, host: 10.8.0.5, table: asterisk.cel}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cel2crm.yaml"
    path.write_text(TWO, encoding="utf-8")
    return path


def test_the_pbxs_are_listed(file: Path) -> None:
    assert run("pbx", "list", "-s", str(file)).stdout.splitlines() == [
        "office: mariadb asteriskcdrdb.cel at 10.0.0.5:3306, Europe/Moscow, sipnet, mts-*",
        "branch: postgresql asteriskcdrdb.asterisk.cel at 10.8.0.5:5432, zone as its rows tell, no trunk named",
    ]


def test_a_pbx_without_a_database_is_listed_as_such(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("pbx: {name: a}\nother_pbxs: [{name: b}]\n", encoding="utf-8")
    assert run("pbx", "list", "-s", str(path)).stdout.splitlines()[1] == "b: its database is not in these settings"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--engine", "oracle"], "--engine 'oracle' cannot be captured"),
        (["--engine", "mariadb"], "not given: --host, --password-file; and standard input is no terminal"),
        (["--host", "10.0.0.9"], "not given: --password-file; and"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_written(file: Path, words: list[str], told: str) -> None:
    done = run("pbx", "add", "third", *words, "-s", str(file))
    assert done.status == 2 and told in done.stderr
    assert file.read_text(encoding="utf-8") == TWO and len(list(file.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "told"), [("../third", "cannot be the name of a PBX"), ("branch", "PBX branch is in the settings already")]
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_asked(file: Path, name: str, told: str) -> None:
    done = run("pbx", "add", name, "-s", str(file))
    assert done.status == 2 and told in done.stderr


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("pbx", "add", "third", "-s", str(tmp_path / "none.yaml"))
    assert done.status == 2 and "there is no settings file" in done.stderr


def several() -> Settings:
    return Settings.model_validate({"pbxs": [{"name": "office"}, {"name": "branch"}]})


def test_without_the_option_each_is_meant_and_with_it_one() -> None:
    assert [each.pbx.name for each in chosen_pbxs(several(), None)] == ["office", "branch"]
    assert [each.pbx.name for each in chosen_pbxs(several(), "branch")] == ["branch"]
    with pytest.raises(SettingsError, match="there is no PBX west"):
        chosen_pbxs(several(), "west")


def test_where_one_is_wanted_it_has_to_be_said_which() -> None:
    assert one_pbx(several(), "branch").pbx.name == "branch"
    assert one_pbx(Settings(), None).pbx.name == "pbx1"
    with pytest.raises(UserError, match="which PBX"):
        one_pbx(several(), None)


def test_a_fault_of_one_does_not_keep_the_others_from_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def act(settings: Settings) -> None:
        if settings.pbx.name == "office":
            raise UserError("no database answers", "Start it.")
        done.append(settings.pbx.name)

    with pytest.raises(UserError, match="not done for PBX office"):
        for_each_pbx(several().each_pbx(), act)
    assert done == ["branch"] and "no database answers" in capsys.readouterr().err


async def test_several_at_once_are_as_many_and_the_lines_of_each_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"pbx{number}" for number in range(20)]
    settings = Settings.model_validate({"pbxs": [{"name": name} for name in names]})
    running, most, done = 0, 0, []

    async def act(each: Settings, tell: Callable[[str], None]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        tell("looked at")
        if each.pbx.name in ("pbx3", "pbx17"):
            raise UserError("no database answers", "Start it.")
        done.append(each.pbx.name)

    with pytest.raises(UserError, match="not done for PBX pbx3, pbx17"):
        await at_once_for_each_pbx(settings.each_pbx(), act)
    told = capsys.readouterr().err.splitlines()
    assert most == AT_ONCE and len(done) == 18
    assert told.count("PBX pbx3: looked at") == 1
    assert told[told.index("PBX pbx3: no database answers") + 1] == "PBX pbx3:   Start it."


async def test_of_one_pbx_the_lines_need_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    async def act(_: Settings, tell: Callable[[str], None]) -> None:
        tell("looked at")

    await at_once_for_each_pbx((Settings(),), act)
    assert capsys.readouterr().err == "looked at\n"
