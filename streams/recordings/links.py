"""Signed links to recordings: whoever has one may get that one recording until the link expires, and nothing else.

`<link>/<expires>/<signature>/<file>`: unix seconds; HMAC-SHA256 over both in base64url; the file below the folder. The
file comes last, so that its name and kind can be told from the address, as CRMs do.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote

from streams.errors import SettingsError
from streams.settings import RecordingSettings, secret

_PURPOSE = b"cel2crm recording 1\n"
_FEWEST = 32


def signing_keys(settings: RecordingSettings) -> tuple[bytes, ...]:
    """The keys of the settings. Raises SettingsError that never tells one."""
    name, file = "recordings.link_key", settings.link_key_file
    lines = secret(settings.link_key, file, name).splitlines()
    keys = tuple(line.strip().encode() for line in lines if line.strip())
    if not keys or any(len(key) < _FEWEST for key in keys):
        raise SettingsError(f"{name} is shorter than {_FEWEST} characters", "Make one with: openssl rand -base64 32")
    return keys


def signature(key: bytes, file: str, expires: int) -> str:
    """The signature of a link."""
    digest = hmac.digest(key, _PURPOSE + f"{expires}\n{file}".encode(), sha256)
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def signed_link(base: str, key: bytes, file: str, expires: int) -> str:
    """The link to a file, always the same of the same file and time."""
    return f"{base}/{expires}/{signature(key, file, expires)}/{quote(file, safe='/')}"


def is_signed(keys: Sequence[bytes], file: str, expires: int, given: str) -> bool:
    """Whether a signature is one of ours, told in a time that depends on nothing of it."""
    good = [hmac.compare_digest(signature(key, file, expires).encode(), given.encode()) for key in keys]
    return any(good)
