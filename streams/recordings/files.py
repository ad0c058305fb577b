"""Files below a folder: opened part by part without following a symbolic link, so that none leads out of it."""

import errno
import os
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import NamedTuple

TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".oga": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".webm": "audio/webm",
    ".gsm": "audio/x-gsm",
    ".au": "audio/basic",
    ".ulaw": "audio/basic",
    ".sln": "application/octet-stream",
    ".wav49": "audio/x-wav",
}
"""The kinds of files that are recordings, by the end of their names."""


class NotARecording(OSError):
    """Something else than a plain file stands in the way: a symbolic link, a folder, a device; or a file of another
    kind than recordings."""


class OpenFile(NamedTuple):
    """An open file: to be closed by whoever asked for it."""

    descriptor: int
    size: int
    changed: float
    """Unix seconds."""


def content_type(file: str) -> str | None:
    """The type of a recording by its name; None: it is none."""
    return TYPES.get(PurePosixPath(file).suffix.lower())


def open_below(folder: Path, file: str) -> OpenFile:
    """Open a file for reading. `file`: relative to the folder, its parts separated by /.

    Raises FileNotFoundError; NotARecording for what must not be read; OSError.
    """
    parts = file.split("/")
    if "\0" in file or any(part in ("", ".", "..") for part in parts) or content_type(file) is None:
        raise NotARecording(f"{parts[-1]!r} is not the name of a recording")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = _opened(part, os.O_DIRECTORY, at)
            os.close(at)
            at = inner
        descriptor = _opened(parts[-1], os.O_NONBLOCK, at)
    finally:
        os.close(at)
    facts = os.fstat(descriptor)
    if not S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise NotARecording(f"{parts[-1]} is not a plain file")
    return OpenFile(descriptor, facts.st_size, facts.st_mtime)


def _opened(part: str, flags: int, at: int) -> int:
    try:
        return os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=at)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(part, at)):
            raise NotARecording(f"{part} is a symbolic link, which is not followed") from None
        raise


def _is_link(part: str, at: int) -> bool:
    try:
        os.readlink(part, dir_fd=at)
    except OSError:
        return False
    return True
