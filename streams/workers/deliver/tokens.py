"""The OAuth tokens of a delivery worker's portals: one store, a keeper for each."""

from collections.abc import Callable, Sequence

import aiohttp
from aiokafka.errors import KafkaError

from streams.credentials.kafka import KafkaCredentials
from streams.credentials.keeper import Keeper
from streams.credentials.sealing import Sealer
from streams.credentials.store import key_of
from streams.crm.shared.adapter import token_vendor
from streams.crm.shared.tokens import TokenSource
from streams.errors import SettingsError
from streams.http.request import session
from streams.kafka.client import unreachable
from streams.settings import PortalSettings, Settings, secret
from streams.topics import CREDENTIALS
from streams.workers.deliver import metrics


class PortalTokens:
    """The tokens by portal. No topic is read, written or needed where no portal uses OAuth."""

    def __init__(self, settings: Settings, portals: Sequence[PortalSettings]) -> None:
        """Raises SettingsError for a portal that has two kinds of authorisation, or lacks a part of OAuth's."""
        self._settings = settings
        self._vendors = {}
        for portal in portals:
            if portal.oauth is not None:
                _refuse_two_kinds(portal)
                where = f"portals.{portal.name}.oauth.client_secret"
                secret(portal.oauth.client_secret, portal.oauth.client_secret_file, where)
                self._vendors[key_of(portal)] = token_vendor(portal)
        self._sealer = Sealer.of(settings.credentials) if self._vendors else None
        self._store: KafkaCredentials | None = None
        self._http: aiohttp.ClientSession | None = None
        self._keepers: dict[str, Keeper] = {}

    @property
    def needs(self) -> tuple[str, ...]:
        """Short names of the topics that must exist."""
        return (CREDENTIALS,) if self._vendors else ()

    async def start(self, back: Callable[[str], None]) -> None:
        """Read and follow what is stored. `back` is called with the name of a portal that has a new token.

        Raises UserError where no broker answers.
        """
        if self._sealer is None:
            return
        kafka = self._settings.kafka
        self._store = KafkaCredentials(kafka, kafka.topic(CREDENTIALS), self._sealer)
        try:
            await self._store.start()
        except (KafkaError, TimeoutError) as error:
            raise unreachable(kafka, error) from None
        self._http = session()
        for key, vendor in self._vendors.items():
            self._keepers[key] = Keeper(
                vendor.portal,
                self._store,
                vendor,
                self._http,
                request_seconds=vendor.oauth.request_timeout_seconds,
                told=_counted(vendor.portal),
            )

        def changed(key: str) -> None:
            if key in self._keepers and self._keepers[key].changed():
                back(self._vendors[key].portal.name)

        self._store.on_change = changed

    def source(self, portal: PortalSettings) -> TokenSource | None:
        """A portal's tokens; None where it has another authorisation."""
        return self._keepers.get(key_of(portal))

    async def stop(self) -> None:
        """Store what is under way, then end."""
        for keeper in self._keepers.values():
            await keeper.stop()
        if self._store is not None:
            await self._store.stop()
        if self._http is not None:
            await self._http.close()


def _refuse_two_kinds(portal: PortalSettings) -> None:
    others = ("token", "token_file", "webhook_url", "webhook_url_file")
    if given := [name for name in others if getattr(portal, name) is not None]:
        raise SettingsError(
            f"portals.{portal.name} has both oauth and {', '.join(given)}",
            "Leave one of them: oauth, a token, a webhook.",
        )


def _counted(portal: PortalSettings) -> Callable[[str], None]:
    return lambda outcome: metrics.REFRESHES.labels(portal.crm, portal.name, outcome).inc()
