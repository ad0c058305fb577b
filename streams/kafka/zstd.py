"""Batches compressed with zstd, read and written by the package zstandard instead of aiokafka's choice, cramjam.

cramjam sets up anew for each batch, 16 us; a worker that keeps up with its calls writes one record in each batch, so
that reading a log of a million took that many seconds more. zstandard keeps what it set up: 0.5 us to read a batch of
1 KB, 1.8 us to write it.
"""

import importlib
import threading
from typing import Any

import zstandard
from aiokafka.codec import zstd_decode, zstd_encode

_BATCHES = ("aiokafka.record._crecords.default_records", "aiokafka.record.default_records")
"""The modules of aiokafka that read and write batches: in C, and in Python where that is missing."""

_LEVEL = 3
"""As the brokers compress."""

_of_thread = threading.local()
"""Both kinds serve one thread at a time."""


def decode(payload: Any) -> bytes:
    """As aiokafka's `zstd_decode`, which is asked where the payload is anything but one whole frame."""
    decoder: zstandard.ZstdDecompressor | None = getattr(_of_thread, "decoder", None)
    if decoder is None:
        decoder = _of_thread.decoder = zstandard.ZstdDecompressor()
    reading = decoder.decompressobj()
    try:
        decoded: bytes = reading.decompress(payload)
    except zstandard.ZstdError:
        return bytes(zstd_decode(payload))
    return decoded if reading.eof and not reading.unused_data else bytes(zstd_decode(payload))


def encode(payload: Any, level: int | None = None) -> bytes:
    """As aiokafka's `zstd_encode`, which is asked for another level than the usual one."""
    if level not in (None, _LEVEL):
        return bytes(zstd_encode(payload, level))
    encoder: zstandard.ZstdCompressor | None = getattr(_of_thread, "encoder", None)
    if encoder is None:
        encoder = _of_thread.encoder = zstandard.ZstdCompressor(level=_LEVEL)
    return encoder.compress(payload)


def use_kept_coders() -> None:
    """Have aiokafka's clients in this process read by `decode` and write by `encode`."""
    for name in _BATCHES:
        try:
            batches: Any = importlib.import_module(name)
        except ImportError:
            continue
        batches.zstd_decode, batches.zstd_encode = decode, encode
