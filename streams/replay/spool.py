"""Differing calls are kept in a temporary file until they are needed, for they may be many: what a full disk does."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from streams.errors import UserError


@contextmanager
def kept_on_disk() -> Iterator[None]:
    """Around whatever writes to the file, its flush included. Raises UserError: the disk is full."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"differing calls cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}",
            "Make room there, or name another directory in the variable TMPDIR.",
        ) from None


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """A file without a name. Raises UserError where none can be made."""
    with kept_on_disk():
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    try:
        yield file
    finally:
        with suppress(OSError):  # on a full disk what is buffered cannot be written at the end either
            file.close()
