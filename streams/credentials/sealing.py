"""Encryption of stored tokens, and the key file.

Fernet of `cryptography`: AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec. A key file holds one key a line:
the first encrypts, all decrypt, so that a key is replaced by putting a new one on top.
"""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from streams.errors import SettingsError, UserError
from streams.settings import CredentialSettings, secret


class Unreadable(Exception):
    """The stored tokens were encrypted with a key that is not among ours, or are damaged."""


class Sealer:
    """Encrypts and decrypts with the keys of the settings."""

    def __init__(self, keys: MultiFernet) -> None:
        self._keys = keys

    @classmethod
    def of(cls, settings: CredentialSettings) -> "Sealer":
        """Raises SettingsError where there is no key, or what is there is not one."""
        text = secret(settings.key, settings.key_file, "credentials.key")
        lines = [line.strip() for line in text.replace(",", "\n").splitlines()]
        try:
            return cls(MultiFernet([Fernet(line) for line in lines if line and not line.startswith("#")]))
        except ValueError:
            raise SettingsError(
                "credentials.key holds what is not a key (its value is not shown here)",
                "Make one with `cel2crm portal new-key FILE`, and set credentials.key_file to that file.",
            ) from None

    def seal(self, content: bytes) -> bytes:
        """Encrypt with the first key."""
        return self._keys.encrypt(content)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt with any key. Raises Unreadable."""
        try:
            return self._keys.decrypt(sealed)
        except InvalidToken:
            raise Unreadable from None


def write_new_key(file: Path, *, add: bool) -> None:
    """Make a key file of mode 0600; `add`: put a new key on top of the file's others.

    The file is there whole or not at all. Raises UserError where it cannot be made, or is there already.
    """
    try:
        others = file.read_bytes() if add else b""
        if not add and file.exists():
            raise UserError(
                f"{file} is there already, and what was encrypted with it could not be read without it",
                "Give --add to put a new key on top of it: the old ones go on to decrypt.",
            )
        _replace(file, Fernet.generate_key() + b"\n" + others)
    except OSError as error:
        raise UserError(f"cannot write the key file {file}: {error.strerror}") from None


def _replace(file: Path, content: bytes) -> None:
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as writing:
        writing.write(content)
        writing.flush()
        os.fsync(descriptor)
    beside.rename(file)
