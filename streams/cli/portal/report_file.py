"""A report that stands under its name whole or not at all; what is known so far stands beside it, as NAME.part."""

import os
from pathlib import Path

from streams.errors import UserError


class ReportFile:
    """The file of one report."""

    def __init__(self, path: Path, *, force: bool) -> None:
        """Raises UserError: a report is there already. Nothing is written yet."""
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._force = force
        if not force:
            self._refuse_present()

    def _refuse_present(self) -> None:
        if self._path.exists():
            raise UserError(f"{self._path} is there already", "Give another name, or --force to write over it.")
        if self._part.exists():
            raise UserError(
                f"{self._part} is there: a probe did not come to its end, and the file says what it made",
                "Look at it and remove it, or give --force to write over it.",
            )

    def keep(self, text: str) -> None:
        """Keep what is known so far. Raises UserError where it cannot be written."""
        self._write(text)

    def finish(self, text: str) -> None:
        """Put the whole report under its name. Raises UserError; the report is then beside it."""
        self._write(text)
        try:
            if self._force:
                self._part.replace(self._path)
            else:
                self._place()
        except FileExistsError:
            raise UserError(f"{self._path} came to be meanwhile", f"The report is {self._part}.") from None
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror}", f"The report is {self._part}.") from None

    def drop(self) -> None:
        """Take away what is kept: nothing was done."""
        self._part.unlink(missing_ok=True)

    def _place(self) -> None:
        """A link never takes the place of a file that came to be meanwhile, as a rename does. Raises OSError."""
        try:
            os.link(self._part, self._path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if self._path.exists():
                raise FileExistsError(self._path) from None
            self._part.replace(self._path)
        else:
            self._part.unlink()

    def _write(self, text: str) -> None:
        whole = self._part.with_name(f"{self._part.name}~")
        try:
            with whole.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            whole.replace(self._part)
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror}") from None
