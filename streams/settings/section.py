"""The base of every branch of the settings: unknown names are refused, secrets come from files or the environment."""

import stat
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

from streams.errors import SettingsError


class Section(BaseModel):
    """A branch of the tree. Unknown names are refused, for a misspelt setting must not be silently without effect;
    numbers that are not finite are too."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def secret(value: SecretStr | None, file: Path | None, name: str) -> str:
    """A secret from the environment or its file.

    Raises SettingsError naming the setting, never the value; also where everybody on the machine could read the file.
    """
    if value is not None:
        return value.get_secret_value()
    if file is None:
        raise SettingsError(
            f"{name} is not set",
            f"Set {name}_file to a file that holds it, or the environment variable "
            f"CEL2CRM_{name.upper().replace('.', '__')}.",
        )
    refuse_if_others_can_read(file, f"{name}_file")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_file: cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def refuse_if_others_can_read(file: Path, name: str) -> None:
    """Raise SettingsError where a file with a secret is open to every user of the machine; its group may read it."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return  # whoever reads it says why it cannot be read
    if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        raise SettingsError(f"{name}: {file} may be read by others (mode {stat.S_IMODE(mode):04o})", f"chmod o= {file}")
