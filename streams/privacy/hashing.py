"""The keyed hash of a number: HMAC-SHA-256, so that only who has the key can try numbers against it."""

import hmac
from functools import cached_property, lru_cache
from hashlib import sha256

from streams.errors import SettingsError
from streams.settings import Settings, secret

_SHORTEST = 32
_OF_KEY = b"cel2crm: which key this is"
_ID_DIGITS = 16


class HashKey:
    """A key, and the hashes by it."""

    def __init__(self, key: str) -> None:
        """Raises SettingsError for a key that is too short."""
        if len(key) < _SHORTEST:
            raise SettingsError(
                f"privacy.hash_key has {len(key)} characters: numbers could be found by trying keys",
                f"Take at least {_SHORTEST}, such as openssl rand -base64 32 prints.",
            )
        self._key = key.encode()
        self.of = lru_cache(65_536)(self._of)
        """The hash of a number in its one spelling (spellings.py): 64 hexadecimal digits."""

    @classmethod
    def in_settings(cls, settings: Settings) -> "HashKey | None":
        """The key of the settings; None: none is set. Raises SettingsError: unreadable, readable by all, too short."""
        own = settings.privacy
        if not own.has_key:
            return None
        return cls(secret(own.hash_key, own.hash_key_file, "privacy.hash_key"))

    @cached_property
    def id(self) -> str:
        """Tells keys apart, and nothing of the key: 16 hexadecimal digits."""
        return hmac.new(self._key, _OF_KEY, sha256).hexdigest()[:_ID_DIGITS]

    def _of(self, number: str) -> str:
        return hmac.new(self._key, b"number:" + number.encode(), sha256).hexdigest()
