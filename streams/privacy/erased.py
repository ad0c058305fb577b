"""The numbers that were erased, by their keyed hashes, as they stand on the compacted topic `erased-numbers`.

Whoever makes results of calls from before an erasure obeys it: the aggregate worker (late rows, backfills), replays,
exports. A call that began after it is another call, of which nothing was asked. Should the topic's records be lost,
nobody knows what was erased: erase the numbers again.
"""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from streams.calls.pbx_profile import PbxProfile
from streams.calls.result import CallLeg, CallResult, Classification
from streams.clock import UtcMicros, utc_now_us
from streams.errors import UserError
from streams.privacy.blanking import Blanking
from streams.privacy.hashing import HashKey
from streams.privacy.spellings import Spellings
from streams.settings import Settings


class ErasedNumber(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record, as JSON; its key is the hash of the number."""

    erased_at: UtcMicros
    """Calls that began before are without the number from then on."""
    until: UtcMicros
    """Retention has removed by then what stood on the topics: it need not be obeyed longer."""
    key: str
    """HashKey.id of the key of the hash."""
    by: str

    def encode(self) -> bytes:
        """The value."""
        return msgspec.json.encode(self)


class ErasedNumbers:
    """The numbers that are obeyed now; `take` the records of the topic, in order."""

    def __init__(self, key: HashKey | None, spellings: Spellings, clock: Callable[[], UtcMicros] = utc_now_us) -> None:
        """`key` None: none is set, and a record is refused."""
        self._key = key
        self._spellings = spellings
        self._clock = clock
        self._known: dict[str, ErasedNumber] = {}
        self._newest: UtcMicros = 0

    @classmethod
    def of(cls, settings: Settings, profile: PbxProfile) -> "ErasedNumbers":
        """Without records yet, by the settings' key. Raises SettingsError: the key cannot be used."""
        return cls(HashKey.in_settings(settings), Spellings(profile))

    def __len__(self) -> int:
        return len(self._known)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record. Raises UserError: no key is set, it is of another key, or it cannot be read."""
        name = (key or b"").decode("utf-8", "replace")
        if value is None:
            self._known.pop(name, None)
        else:
            number = self._read(value)
            if number.until > self._clock():
                self._known[name] = number
            else:
                self._known.pop(name, None)
        self._newest = max((each.erased_at for each in self._known.values()), default=0)

    def _read(self, value: bytes) -> ErasedNumber:
        try:
            number = msgspec.json.decode(value, type=ErasedNumber)
        except msgspec.MsgspecError as error:
            raise UserError(
                f"a record of the topic erased-numbers cannot be read: {error}",
                "If a later release of cel2crm wrote it, run that one.",
            ) from None
        if self._key is None:
            raise UserError(
                "numbers were erased, and without the key of their hashes calls would bring them back",
                "Set privacy.hash_key_file to the file that cel2crm erase was given.",
            )
        if number.key != self._key.id:
            raise UserError(
                f"numbers were erased by another key than privacy.hash_key_file holds ({number.key}, {self._key.id})",
                "Restore that key file. If it is lost, delete the topic erased-numbers, give cel2crm topics apply, "
                "and erase the numbers again.",
            )
        return number

    def erased(self, number: str) -> ErasedNumber | None:
        """What is known of a number in its one spelling; None: it was not erased."""
        return None if self._key is None else self._known.get(self._key.of(number))

    def obeyed(self, outcome: Classification) -> Classification:
        """The outcome of a call as it may be told; the very same object where nothing was erased of it."""
        blanking = self._blanking(outcome.result.started_at)
        return outcome if blanking is None else blanking.classification(outcome)

    def obeyed_result(self, result: CallResult) -> CallResult:
        """The same of a result alone."""
        blanking = self._blanking(result.started_at)
        return result if blanking is None else blanking.result(result)

    def obeyed_leg(self, leg: CallLeg) -> CallLeg:
        """The same of a leg alone, by its own start."""
        blanking = self._blanking(leg.started_at)
        return leg if blanking is None else blanking.leg(leg)

    @property
    def digest(self) -> str:
        """Which erasures are known: another one after each."""
        return sha256(repr(sorted((name, each.erased_at) for name, each in self._known.items())).encode()).hexdigest()

    def _blanking(self, started_at: UtcMicros) -> Blanking | None:
        """None: every number that was erased was so before such a call began. So live calls cost nothing."""
        if started_at >= self._newest:
            return None
        return Blanking(self._spellings, lambda number: self._was_erased(number, started_at))

    def _was_erased(self, number: str, started_at: UtcMicros) -> bool:
        found = self.erased(number)
        return found is not None and started_at < found.erased_at
