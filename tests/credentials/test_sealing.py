"""Stored tokens are encrypted, and keys can be replaced."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from streams.cli.command_line import command_line
from streams.credentials.sealing import Sealer, Unreadable, write_new_key
from streams.errors import SettingsError, UserError
from streams.settings import CredentialSettings


def sealer(file: Path) -> Sealer:
    return Sealer.of(CredentialSettings(key_file=file))


def test_a_new_key_is_readable_by_its_owner_only_and_seals(tmp_path: Path) -> None:
    file = tmp_path / "key"
    result = CliRunner().invoke(command_line(), ["portal", "new-key", str(file)])
    assert result.exit_code == 0 and file.read_text().strip() not in result.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    sealed = sealer(file).seal(b"refresh token")
    assert b"refresh" not in sealed and sealer(file).open(sealed) == b"refresh token"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "key"
    write_new_key(file, add=False)
    before = file.read_bytes()
    with pytest.raises(UserError, match="already"):
        write_new_key(file, add=False)
    assert file.read_bytes() == before


def test_a_key_on_top_reads_what_the_older_ones_sealed(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    write_new_key(file, add=False)
    write_new_key(other, add=False)
    sealed = sealer(file).seal(b"pair")
    write_new_key(file, add=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sealer(file).open(sealed) == b"pair"
    newest = file.read_text().splitlines()[0]
    assert Sealer.of(CredentialSettings(key=SecretStr(newest))).open(sealer(file).seal(b"next")) == b"next"
    with pytest.raises(Unreadable):
        sealer(other).open(sealed)


@pytest.mark.parametrize("text", ["", "some other words", "c2hvcnQ="])
def test_what_is_no_key_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        sealer(file)
    assert "credentials.key" in str(error.value)
    assert not text or text not in str(error.value)


def test_no_key_at_all_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"credentials\.key is not set"):
        Sealer.of(CredentialSettings())
