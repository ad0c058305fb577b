"""The wire format: what one side writes the other reads, and damaged bytes have a name."""

import json
import struct
from functools import cache
from typing import Any

import pytest
from fastavro.utils import generate_one
from hypothesis import given
from hypothesis import strategies as st

import schemas
from schemas.codec import Decoder, Encoder, MalformedRecord, full_name, unframe, without_logical_types

LETTER: dict[str, Any] = {
    "key": b"1795389830.17",
    "value": b"\xff\x00 not json",
    "headers": [{"name": "a", "value": b"1"}, {"name": "a", "value": None}],
    "topic": "cel2crm.cel",
    "partition": 3,
    "offset": 1 << 40,
    "timestamp": 1_795_389_830_123,
    "component": "aggregate",
    "reason": "unreadable_row",
    "explanation": "column linkedid is missing",
    "failed_at": 1_795_389_830_123_456,
    "call_id": None,
    "portal": None,
}

integers = st.integers(-(2**63), 2**63 - 1)
binary = st.one_of(st.none(), st.binary())
optional_text = st.one_of(st.none(), st.text())
letters = st.fixed_dictionaries(
    {
        "key": binary,
        "value": binary,
        "headers": st.lists(st.fixed_dictionaries({"name": st.text(), "value": binary})),
        "topic": st.text(),
        "partition": st.integers(0, 2**31 - 1),
        "offset": integers,
        "timestamp": st.one_of(st.none(), integers),
        "component": st.text(),
        "reason": st.text(),
        "explanation": st.text(),
        "failed_at": integers,
        "call_id": optional_text,
        "portal": optional_text,
    }
)


@cache
def codec(name: str = "dead_letter", schema_id: int = 7) -> tuple[Encoder, Decoder]:
    schema = schemas.load(name)
    return Encoder(schema, schema_id), Decoder(schema, schema)


@given(record=letters, last=st.sampled_from(list(LETTER)))
def test_the_first_fields_are_those_of_the_whole_record(record: dict[str, Any], last: str) -> None:
    encoder, decoder = codec()
    _, body = unframe(encoder.encode(record))
    names = list(LETTER)
    expected = {name: record[name] for name in names[: names.index(last) + 1]}
    assert decoder.decode_first(body, last) == expected == {name: decoder.decode(body)[name] for name in expected}


def test_first_fields_that_are_damaged_or_not_there() -> None:
    encoder, decoder = codec()
    _, body = unframe(encoder.encode(LETTER))
    assert decoder.decode_first(body[:-1], "topic")["topic"] == LETTER["topic"], "damage behind them is not looked at"
    with pytest.raises(MalformedRecord):
        decoder.decode_first(body[:20], "topic")
    with pytest.raises(KeyError):
        decoder.decode_first(body, "no such field")


@given(record=letters)
def test_what_was_written_is_read(record: dict[str, Any]) -> None:
    encoder, decoder = codec()
    found_id, body = unframe(encoder.encode(record))
    assert (found_id, decoder.decode(body)) == (7, record)


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_carries_a_record_there_and_back(name: str) -> None:
    encoder, decoder = codec(name)
    for _ in range(20):
        record = generate_one(without_logical_types(schemas.load(name)))
        assert isinstance(record, dict)
        assert full_name(schemas.load(name)) == decoder.record_name
        _, body = unframe(encoder.encode(record))
        again = decoder.decode(body)
        # Compared as bytes: NaN is unlike itself, and a float field is shorter than Python's.
        assert encoder.encode(again) == encoder.encode(record)


def test_the_frame_is_a_zero_byte_and_the_id() -> None:
    encoder, _ = codec(schema_id=258)
    assert encoder.encode(LETTER)[:5] == b"\x00\x00\x00\x01\x02"


def test_times_stay_integers() -> None:
    encoder, decoder = codec()
    _, body = unframe(encoder.encode(LETTER))
    assert decoder.decode(body)["failed_at"] == 1_795_389_830_123_456


def test_the_registered_text_keeps_logical_types() -> None:
    assert "timestamp-micros" in schemas.text("dead_letter")


def test_without_logical_types_only_they_and_the_docs_go() -> None:
    schema = {"type": "record", "name": "R", "doc": "d", "fields": [
        {"name": "doc", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 3, "doc": "x"},
        {"name": "logicalType", "type": ["null", {"type": "array", "items": {"type": "int", "logicalType": "date"}}]},
    ]}  # fmt: skip
    assert without_logical_types(schema) == {"type": "record", "name": "R", "fields": [
        {"name": "doc", "type": "long", "default": 3},
        {"name": "logicalType", "type": ["null", {"type": "array", "items": "int"}]},
    ]}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"topic": None}, "topic"),
        ({"partition": "three"}, "partition|int"),
        ({"offset": 2**63}, "offset|long|large"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(change: dict[str, Any], words: str) -> None:
    encoder, _ = codec()
    with pytest.raises((ValueError, TypeError, OverflowError), match=words):
        encoder.encode(LETTER | change)


def test_a_field_without_a_default_cannot_be_left_out() -> None:
    encoder, _ = codec()
    with pytest.raises(ValueError, match="topic"):
        encoder.encode({name: value for name, value in LETTER.items() if name != "topic"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "tombstone"),
        (b"", "0 bytes"),
        (b"\x00\x00\x00\x00", "4 bytes"),
        (b'{"id": 1}', "begins with byte 123"),
        (b"\x01\x00\x00\x00\x07", "begins with byte 1,"),
        (b"\xff\x00\x00\x00\x07", "begins with byte 255"),
    ],
)
def test_what_is_no_frame_says_why(value: bytes | None, words: str) -> None:
    with pytest.raises(MalformedRecord, match=words):
        unframe(value)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_record_or_malformed(body: bytes) -> None:
    encoder, decoder = codec()
    try:
        record = decoder.decode(memoryview(body))
    except MalformedRecord:
        return
    assert decoder.decode(memoryview(encoder.encode(record))[5:]) == record


@given(cut=st.integers(1, 60))
def test_a_cut_record_is_malformed(cut: int) -> None:
    encoder, decoder = codec()
    _, body = unframe(encoder.encode(LETTER))
    with pytest.raises(MalformedRecord):
        decoder.decode(body[:-cut])


def test_bytes_behind_the_record_are_malformed() -> None:
    encoder, decoder = codec()
    _, body = unframe(encoder.encode(LETTER) + b"\x00")
    with pytest.raises(MalformedRecord, match="1 bytes too many"):
        decoder.decode(body)


def test_an_older_writer_is_read_with_our_defaults() -> None:
    older = schemas.load("dead_letter")
    older["fields"] = [field for field in older["fields"] if field["name"] != "portal"]
    record = {name: value for name, value in LETTER.items() if name != "portal"}
    _, body = unframe(Encoder(older, 1).encode(record))
    assert Decoder(older, schemas.load("dead_letter")).decode(body) == LETTER


def test_a_newer_writer_is_read_without_what_we_do_not_know() -> None:
    newer = schemas.load("dead_letter")
    newer["fields"].append({"name": "colour", "type": "string", "default": "red"})
    _, body = unframe(Encoder(newer, 1).encode(LETTER | {"colour": "blue"}))
    assert Decoder(newer, schemas.load("dead_letter")).decode(body) == LETTER


def test_a_schema_that_is_not_there_is_named() -> None:
    with pytest.raises(LookupError, match="no schema 'call'; there are call_leg, call_result"):
        schemas.load("call")


def test_the_frame_is_that_of_confluent() -> None:
    """struct is how Confluent's own clients write it: big-endian, one byte and four."""
    encoder, _ = codec(schema_id=4_000_000_000)
    assert encoder.encode(LETTER)[:5] == struct.pack(">bI", 0, 4_000_000_000)
    assert json.loads(schemas.text("dead_letter")) == schemas.load("dead_letter")
