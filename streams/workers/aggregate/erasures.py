"""The numbers that were erased, as the worker knows them: read at its start, and followed where a key is set."""

from streams.calls.pbx_profile import PbxProfile
from streams.kafka.erased_topic import ErasedTopic
from streams.privacy.erased import ErasedNumbers
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings
from streams.settings import Settings
from streams.topics import ERASED_NUMBERS


class Erasures:
    """Without a key none is obeyed: `read` refuses a topic that holds any."""

    def __init__(self, settings: Settings, profile: PbxProfile) -> None:
        """Raises SettingsError: the key cannot be used."""
        self._key = HashKey.in_settings(settings)
        self.known = ErasedNumbers(self._key, Spellings(profile))
        self._topic = ErasedTopic(settings.kafka, settings.kafka.topic(ERASED_NUMBERS), self.known.take)
        self.read = self._topic.read
        """Takes what stands there now. Raises UserError: no broker, or a record that cannot be obeyed."""

    async def follow(self) -> None:
        """Take what joins it, until cancelled; ends at once where no key is set, for nothing could be obeyed."""
        if self._key is not None:
            await self._topic.follow()

    @property
    def key_id(self) -> str:
        """Which key it knows them by; empty: none."""
        return self._key.id if self._key else ""
