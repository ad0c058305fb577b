"""References to secrets in what Kafka Connect is given: `${provider:path:key}`, which Connect itself looks up.

A secret that is written out would be stored on Connect's topics, and told to anyone who asks its REST interface.
"""

import re

from streams.errors import SettingsError

REFERENCE = re.compile(r"\$\{(?P<provider>[^${}:]+):[^${}]+\}")

_SECRET_NAMES = re.compile(
    r"password|passphrase|secret|jaas|token|credential|keystore\.key|private\.key", re.IGNORECASE
)


def require_reference(name: str, value: str, key: str) -> None:
    """Raise SettingsError where the setting `name` is no reference; its value is never shown, it may be the secret."""
    if not REFERENCE.fullmatch(value):
        raise SettingsError(
            f"{name} is not a reference of a Connect ConfigProvider",
            f"Write it as ${{file:/etc/cel2crm/connect-secrets.properties:{key}}}: Connect looks it up there.",
        )


def require_no_secret(name: str, value: str, where: str = "connect.properties") -> None:
    """Raise SettingsError where the property `name` of a connector is one for a secret, and holds it written out.

    `where`: the setting that it stands in.
    """
    if _SECRET_NAMES.search(name) and not REFERENCE.search(value):
        raise SettingsError(
            f"{where}.{name}: a secret is given by reference only, for Connect stores and shows its "
            "connectors' configurations",
            "Write it as ${file:/etc/cel2crm/connect-secrets.properties:KEY}: Connect looks it up there.",
        )
