"""What was erased stays so: later records of the same calls are without the number, by the key alone."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from streams.errors import SettingsError, UserError
from streams.privacy.erased import ErasedNumber, ErasedNumbers
from streams.privacy.hashing import HashKey
from streams.settings import Settings
from tests.privacy.examples import CALL, CLIENT, KEY, RESULT, SPELLINGS, STARTED

ERASED = ErasedNumber(erased_at=STARTED + 1, until=STARTED + 1_000, key=KEY.id, by="ann")


def numbers(key: HashKey | None = KEY, now: int = STARTED + 2) -> ErasedNumbers:
    return ErasedNumbers(key, SPELLINGS, clock=lambda: now)


def test_calls_from_before_are_without_it_and_later_ones_are_not() -> None:
    known = numbers()
    known.take(KEY.of(CLIENT).encode(), ERASED.encode())
    assert known.obeyed(CALL).result.client is None
    assert known.obeyed_result(RESULT).caller is None
    later = CALL._replace(result=replace(RESULT, started_at=ERASED.erased_at))
    assert known.obeyed(later) is later


def test_another_number_is_let_be() -> None:
    known = numbers()
    known.take(KEY.of("+79169999999").encode(), ERASED.encode())
    assert known.obeyed(CALL) is CALL


def test_a_record_that_is_taken_back_or_over_counts_no_more() -> None:
    known = numbers()
    known.take(KEY.of(CLIENT).encode(), ERASED.encode())
    known.take(KEY.of(CLIENT).encode(), None)
    assert (known.obeyed(CALL) is CALL, len(known)) == (True, 0)
    late = numbers(now=ERASED.until)
    late.take(KEY.of(CLIENT).encode(), ERASED.encode())
    assert late.obeyed(CALL) is CALL


def test_without_its_key_nothing_is_made_of_calls() -> None:
    with pytest.raises(UserError, match="without the key of their hashes"):
        numbers(None).take(b"x", ERASED.encode())
    with pytest.raises(UserError, match="by another key"):
        numbers(HashKey("o" * 40)).take(b"x", ERASED.encode())
    with pytest.raises(UserError, match="cannot be read"):
        numbers().take(b"x", b"{}")


def test_the_record_holds_no_number() -> None:
    assert b"916" not in KEY.of(CLIENT).encode() + ERASED.encode() or "9161234567" not in KEY.of(CLIENT)


def test_a_key_is_long_and_no_one_elses_to_read(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("short\n")
    file.chmod(0o600)
    settings = Settings.model_validate({"privacy": {"hash_key_file": str(file)}})
    with pytest.raises(SettingsError, match="has 5 characters"):
        HashKey.in_settings(settings)
    file.write_text("k" * 40 + "\n")
    found = HashKey.in_settings(settings)
    assert found is not None and found.of(CLIENT) == KEY.of(CLIENT), "the line's end is no part of it"
    file.chmod(0o644)
    with pytest.raises(SettingsError, match=r"may be read by others \(mode 0644\)"):
        HashKey.in_settings(settings)
    assert HashKey.in_settings(Settings()) is None


def test_the_hashed_topic_needs_the_key() -> None:
    with pytest.raises(ValueError, match="hashed_topic needs the key"):
        Settings.model_validate({"privacy": {"hashed_topic": True}})
