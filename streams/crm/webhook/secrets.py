"""The secrets that sign a webhook: one, or during a rotation several."""

import base64
import binascii

from streams.errors import SettingsError
from streams.settings import PortalSettings, secret

PREFIX = "whsec_"
FEWEST_BYTES, MOST_BYTES = 24, 512
"""As Standard Webhooks has it."""


def signing_secrets(portal: PortalSettings) -> tuple[str, ...]:
    """Each line is a secret; all of them sign. Raises SettingsError that names the line, never the secret."""
    name = f"portals.{portal.name}.secret"
    lines = secret(portal.secret, portal.secret_file, name).splitlines()
    secrets = tuple(line.strip() for line in lines if line.strip())
    remedy = 'Make one with: echo "whsec_$(openssl rand -base64 32)"'
    if not secrets:
        raise SettingsError(f"{name} is empty", remedy)
    for number, each in enumerate(secrets, start=1):
        if not _usable(each):
            where = f"{name}, line {number}," if len(secrets) > 1 else name
            raise SettingsError(f"{where} is not whsec_ and 24 to 512 bytes in base64", remedy)
    return secrets


def _usable(text: str) -> bool:
    if not text.startswith(PREFIX):
        return False
    encoded = text.removeprefix(PREFIX)
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except binascii.Error:
        return False
    return FEWEST_BYTES <= size <= MOST_BYTES
