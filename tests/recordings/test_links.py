"""Signed links: good for one file and one time, and told apart by nothing else."""

from pathlib import Path

import pytest

from streams.errors import SettingsError
from streams.recordings.links import is_signed, signature, signed_link, signing_keys
from streams.settings import RecordingSettings

KEY, OTHER = b"k" * 40, b"o" * 40
FILE = "2026/11/22/in-1001.wav"


def settings(key_file: Path) -> RecordingSettings:
    return RecordingSettings(folder=Path("/srv"), file="{uniqueid}.wav", link="https://pbx/r", link_key_file=key_file)


def test_a_link_names_time_and_file_and_is_always_the_same() -> None:
    link = signed_link("https://pbx/r", KEY, FILE, 1_800_000_000)
    assert link == signed_link("https://pbx/r", KEY, FILE, 1_800_000_000)
    base, expires, given, file = link.split("/", 4)[0:1] + link.removeprefix("https://pbx/r/").split("/", 2)
    assert (base, expires, file) == ("https:", "1800000000", FILE)
    assert is_signed([KEY], FILE, 1_800_000_000, given) and is_signed([OTHER, KEY], FILE, 1_800_000_000, given)


@pytest.mark.parametrize(
    ("keys", "file", "expires"),
    [([OTHER], FILE, 1), ([KEY], FILE + "x", 1), ([KEY], FILE, 2), ([KEY], "", 1), ([], FILE, 1)],
)
def test_another_key_file_or_time_is_not_signed(keys: list[bytes], file: str, expires: int) -> None:
    assert not is_signed(keys, file, expires, signature(KEY, FILE, 1))


def test_time_and_file_cannot_be_shifted_into_each_other() -> None:
    assert signature(KEY, "2\na.wav", 1) != signature(KEY, "a.wav", 12)


@pytest.mark.parametrize(("mode", "told"), [(0o644, "may be read by others (mode 0644)"), (0o602, "by others")])
def test_a_key_that_others_may_read_is_refused(mode: int, told: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 40)
    file.chmod(mode)
    with pytest.raises(SettingsError) as refused:
        signing_keys(settings(file))
    assert told in refused.value.problem and "kkkk" not in str(refused.value)
    file.chmod(0o640)
    assert signing_keys(settings(file)) == (b"k" * 40,)


@pytest.mark.parametrize("text", ["", "short", f"{'k' * 40}\nshort"])
def test_a_key_that_could_be_guessed_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(SettingsError, match="shorter than 32"):
        signing_keys(settings(file))


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        signing_keys(settings(tmp_path / "key"))


def test_the_first_key_signs_and_all_are_good(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY + b"\n" + OTHER + b"\n")
    file.chmod(0o600)
    assert signing_keys(settings(file)) == (KEY, OTHER)
