"""aiokafka reads and writes batches by what is kept, whatever frames others write."""

import threading
from typing import Any

import cramjam
import pytest
import zstandard
from aiokafka.codec import zstd_decode
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from streams.kafka import zstd
from streams.kafka.login import client_options
from streams.settings import KafkaSettings

VALUES = [b"", b"x", b"a record of a call " * 50, bytes(range(256)) * 4000]
ZSTD = 4


def of_java(value: bytes) -> bytes:
    """As the brokers write: a stream, without the length of what it holds."""
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return stream.compress(value) + stream.flush()


@pytest.mark.parametrize("value", VALUES, ids=len)
def test_every_writers_frames_are_read(value: bytes) -> None:
    for frame in (zstd.encode(value), bytes(cramjam.zstd.compress(value)), of_java(value)):
        assert zstd.decode(memoryview(frame)) == value
        assert zstd_decode(frame) == value


def test_several_frames_are_read_as_aiokafka_does() -> None:
    assert zstd.decode(zstd.encode(b"one") + zstd.encode(b"two")) == b"onetwo"


@pytest.mark.parametrize("damaged", [b"no frame", zstd.encode(VALUES[2])[:-5]])
def test_what_is_damaged_is_aiokafkas_error(damaged: bytes) -> None:
    with pytest.raises(Exception) as ours:
        zstd.decode(damaged)
    with pytest.raises(type(ours.value)):
        zstd_decode(damaged)


def test_threads_do_not_share_a_decoder() -> None:
    frames, wrong = [(value, zstd.encode(value)) for value in VALUES], list[bytes]()

    def read() -> None:
        for _ in range(200):
            wrong.extend(value for value, frame in frames if zstd.decode(frame) != value)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_aiokafkas_batches_are_read_and_written_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used = list[str]()

    def seen(name: str) -> Any:
        known = getattr(zstd, name)

        def call(payload: Any, *level: int) -> bytes:
            used.append(name)
            coded: bytes = known(payload, *level)
            return coded

        return call

    with monkeypatch.context() as patched:
        patched.setattr(zstd, "decode", seen("decode"))
        patched.setattr(zstd, "encode", seen("encode"))
        client_options(KafkaSettings())
        builder = DefaultRecordBatchBuilder(2, ZSTD, 0, -1, -1, 0, 1 << 20)
        builder.append(0, None, b"key", VALUES[2], [])
        records = list(DefaultRecordBatch(bytes(builder.build())))
    client_options(KafkaSettings())
    assert [record.value for record in records] == [VALUES[2]]
    assert used == ["encode", "decode"]
