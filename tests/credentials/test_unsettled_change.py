"""A change whose transaction the brokers ended with an error that tells nothing: found out, never made twice."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet, MultiFernet

from streams.credentials import kafka
from streams.credentials.kafka import KafkaCredentials
from streams.credentials.record import Credential, granted
from streams.credentials.sealing import Sealer
from streams.kafka.fenced_log import FencedLog
from tests.brokers import brokers
from tests.credentials.shared import pair

KEY = "kommo/main"


class Topic:
    """Committed records of the topic, and how the next transactions end."""

    def __init__(self, endings: Sequence[str]) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.endings = list(endings)


class Log:
    """A fenced log in memory, whose transactions end as the topic is told."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self.last_offset: int | None = None

    async def fence(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def scan(self, take: Callable[[Any], None]) -> None:
        for offset, (key, value) in enumerate(self._topic.records):
            take(SimpleNamespace(offset=offset, key=key, value=value))

    async def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        ending = self._topic.endings.pop(0)
        self.last_offset = None if ending == "refused before its end" else len(self._topic.records)
        if ending in ("committed", "refused, yet committed"):
            self._topic.records += records
        elif ending == "refused, aborted":
            self._topic.records.append((b"marker", None))
        if ending != "committed":
            kafka._unsettled("the transaction", AssertionError(ending))
        return [len(self._topic.records) - 1]


def add_one(known: Credential | None) -> Credential:
    number = 0 if known is None else int(known.pair.access)
    return granted(known, KEY, pair(1, access=str(number + 1)), 1)


@pytest.mark.parametrize("ending", ["refused, yet committed", "refused, aborted", "refused before its end"])
async def test_a_change_of_unknown_end_is_made_once(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic([ending, "committed", "committed"])
    store = KafkaCredentials(brokers("nowhere"), "credentials", Sealer(MultiFernet([Fernet(Fernet.generate_key())])))
    monkeypatch.setattr(store, "_log", lambda: cast(FencedLog, Log(topic)))
    after = await store.change(KEY, add_one)
    assert after is not None and after.pair.access == "1"
    again = await store.change(KEY, add_one)
    assert again is not None and again.pair.access == "2"
    assert sum(key == KEY.encode() for key, _ in topic.records) == 2


async def test_brokers_that_are_silent_leave_it_unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kafka.Unsettled):
        kafka._unsettled("the transaction", TimeoutError())
