"""The files that settings name, looked at without a use of what is in them."""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from streams.errors import SettingsError
from streams.settings.section import refuse_if_others_can_read

_SECRET = ("password", "token", "secret", "key", "webhook_url")
"""In the names of settings whose files hold secrets."""


def faults_of_files(settings: BaseModel) -> list[str]:
    """Each file that is named and cannot be read, or holds a secret that everybody could read."""
    found = []
    for name, file in _files(settings, ""):
        if not file.exists():
            found.append(f"{name}: there is no {file}")
        elif not os.access(file, os.R_OK):
            found.append(f"{name}: {file} may not be read by this user")
        elif any(word in name.rpartition(".")[2] for word in _SECRET):
            try:
                refuse_if_others_can_read(file, name)
            except SettingsError as error:
                found.append(f"{error.problem}: {error.remedy}")
    return found


def _files(section: BaseModel, before: str) -> Iterator[tuple[str, Path]]:
    for name in type(section).model_fields:
        yield from _files_of(getattr(section, name), f"{before}{name}")


def _files_of(value: object, name: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path) and name.endswith("_file"):
        yield name, value
    elif isinstance(value, BaseModel):
        yield from _files(value, f"{name}.")
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from _files_of(each, f"{name}[{getattr(each, 'name', number)}]")
