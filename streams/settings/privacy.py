"""What protects the people in calls: `privacy:`, the key by which numbers are hashed, and what is hashed by it."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from streams.settings.section import Section


class PrivacySettings(Section):
    """The key, and the topic for whoever needs no numbers."""

    hash_key: SecretStr | None = None
    """At least 32 characters. Who has it can tell whose hash a hash is, by trying all numbers."""
    hash_key_file: Path | None = None
    hashed_topic: bool = False
    """Results also go to call-results-hashed, with a keyed hash in place of each number."""
    remember_days: int = Field(default=0, ge=0, le=36_500)
    """How long an erased number's hash is obeyed at least; 0: until retention has removed all from before."""

    @property
    def has_key(self) -> bool:
        """Whether a key is set."""
        return self.hash_key is not None or self.hash_key_file is not None

    @model_validator(mode="after")
    def _with_key(self) -> Self:
        if self.hashed_topic and not self.has_key:
            raise ValueError("hashed_topic needs the key of its hashes: set privacy.hash_key_file")
        return self
