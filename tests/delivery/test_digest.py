"""A digest is trusted beside the record that it was made for, and nowhere else."""

import pytest
from msgspec.structs import replace

from streams.delivery.digest import Digest, digest_of, trusted_digest
from streams.delivery.record import FINAL, IN_CRM, Delivery, FollowUp, State

KEY, VALUE = b"pbx1/1764360000.12", b"\x00\x00\x00\x00\x07the record"
OVER = Delivery(
    call_id=KEY.decode(), crm="kommo", portal="main", state=State.DELIVERED,
    version=(12_345 << 20) + 27, correction=1_764_400_000_000, updated_at=1_764_360_123_456_789, source_offset=4711,
)  # fmt: skip
STORED = bytes.fromhex("01000000030390001b0000019ace6f6c00000644ad1a6a1d1500000000000012679193e52a")


def header() -> bytes:
    made = digest_of(OVER, KEY, VALUE)
    assert made is not None
    return made


def test_it_tells_what_counts_of_a_finished_call() -> None:
    assert trusted_digest(header(), KEY, VALUE) == Digest(
        OVER.version, OVER.correction, OVER.updated_at, OVER.source_offset
    )


def test_the_bytes_that_stand_in_logs_are_read_for_ever() -> None:
    assert header() == STORED
    assert trusted_digest(STORED, KEY, VALUE) == Digest(12_944_670_747, 1_764_400_000_000, 1_764_360_123_456_789, 4711)


@pytest.mark.parametrize("state", list(State))
def test_only_what_is_over_has_one(state: State) -> None:
    assert (digest_of(replace(OVER, state=state), KEY, VALUE) is not None) == (state in FINAL)
    followed = replace(OVER, state=state, follow_ups=(FollowUp(kind="recording", state=State.WAITING),))
    assert (digest_of(followed, KEY, VALUE) is not None) == (state in FINAL - IN_CRM)


def test_a_damaged_one_is_not_trusted() -> None:
    good = header()
    for at in range(len(good)):
        for bit in range(8):
            damaged = bytearray(good)
            damaged[at] ^= 1 << bit
            assert trusted_digest(bytes(damaged), KEY, VALUE) is None
    for length in range(len(good)):
        assert trusted_digest(good[:length], KEY, VALUE) is None
    assert trusted_digest(good + b"\x00", KEY, VALUE) is None


@pytest.mark.parametrize(
    ("key", "value"), [(KEY + b"3", VALUE), (KEY, VALUE + b"."), (KEY, VALUE[:-1]), (KEY, b""), (b"", VALUE)]
)
def test_one_beside_another_record_is_not_trusted(key: bytes, value: bytes) -> None:
    assert trusted_digest(header(), key, value) is None
