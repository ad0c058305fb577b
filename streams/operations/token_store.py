"""The store of OAuth tokens, opened by commands. The one seam of the tests of what reads tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from connectors.topics import missing_topics
from streams.credentials.kafka import KafkaCredentials
from streams.credentials.sealing import Sealer
from streams.credentials.store import CredentialStore
from streams.errors import UserError
from streams.kafka.client import unreachable
from streams.settings import Settings
from streams.topics import CREDENTIALS


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[CredentialStore]:
    """The store of tokens, as it is now. Raises UserError."""
    kafka, topic = settings.kafka, settings.kafka.topic(CREDENTIALS)
    if await missing_topics(settings, [topic]):
        raise UserError(f"no such topic on {kafka.bootstrap_servers}: {topic}", "Make it with `cel2crm topics apply`.")
    store = KafkaCredentials(kafka, topic, Sealer.of(settings.credentials))
    try:
        await store.start(follow=False)
        yield store
    except (KafkaError, TimeoutError) as error:
        raise unreachable(kafka, error) from None
