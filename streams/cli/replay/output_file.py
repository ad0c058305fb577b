"""A file that stands under its name only when it is whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from streams.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write to a file beside it, which takes the name at the end; where anything fails, nothing is left of it.

    Raises UserError where it cannot be written, as on a full disk.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}", "Nothing was left under its name."
        ) from None
    finally:
        part.unlink(missing_ok=True)
