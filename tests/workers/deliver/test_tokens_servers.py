"""OAuth on real servers: workers as processes, tokens on Kafka, one refresh whatever happens."""

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml

from streams.clock import utc_now_us
from streams.credentials.kafka import KafkaCredentials
from streams.credentials.record import Credential, granted
from streams.credentials.sealing import Sealer, write_new_key
from streams.delivery.record import State
from streams.settings import CredentialSettings
from streams.topics import CREDENTIALS
from tests.brokers import brokers
from tests.credentials.shared import FIRST_REFRESH, pair
from tests.workers.deliver.crm_installation import CrmInstallation, some_results

if TYPE_CHECKING:
    from deploy.local import LocalStack

pytestmark = pytest.mark.servers

CRMS = ("bitrix24", "kommo")


@dataclass
class OAuthDeliveries(CrmInstallation):
    """Deliveries to a fake portal that lets in by OAuth only."""

    @property
    def tree(self) -> dict[str, Any]:
        """See Installation."""
        tree = super().tree
        (fields,) = tree["portals"]
        for name in ("webhook_url_file", "token_file"):
            fields.pop(name, None)
        bitrix24 = self.crm == "bitrix24"
        fields["url"] = self.portal.url
        fields["oauth"] = {
            "client_id": "local.5f0e.cel2crm" if bitrix24 else "fake-integration-id",
            "request_timeout_seconds": 4,
            "redirect_uri": "https://localhost/",
            "client_secret_file": self._secret("client-secret", "fake-client-secret"),
            **({"token_endpoint": f"{self.portal.url}/oauth/token/"} if bitrix24 else {}),
        }
        return {**tree, "credentials": {"key_file": str(self.key_file)}}

    @property
    def key_file(self) -> Path:
        """The key that all workers share."""
        file = self.directory / "key"
        if not file.exists():
            write_new_key(file, add=False)
        return file

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        async with self.store() as store:
            await store.change(
                f"{self.crm}/main", lambda before: granted(before, f"{self.crm}/main", pair(), utc_now_us())
            )
        return self

    @asynccontextmanager
    async def store(self) -> AsyncIterator[KafkaCredentials]:
        """What is stored, as one more process sees it."""
        sealer = Sealer.of(CredentialSettings(key_file=self.key_file))
        store = await KafkaCredentials(brokers(self.bootstrap_servers), self.topic(CREDENTIALS), sealer).start(
            follow=False
        )
        try:
            yield store
        finally:
            await store.stop()

    async def known(self) -> Credential:
        """The portal's authorisation."""
        async with self.store() as store:
            known = store.get(f"{self.crm}/main")
            assert known is not None
            return known

    def token_requests(self) -> list[object]:
        """The status of each, as the portal logged it."""
        return [line["status"] for line in self.portal.log if line["operation"] == "token"]

    async def command(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run `cel2crm` to its end."""
        file = self.directory / "settings-command.yaml"
        file.write_text(yaml.safe_dump(self.tree), encoding="utf-8")
        command = [sys.executable, "-m", "streams.cli.main", *arguments, "--settings", str(file)]
        return await asyncio.to_thread(subprocess.run, command, input=given.encode(), capture_output=True, check=False)

    async def until(self, reached: Callable[[], bool], seconds: float = 90.0) -> None:
        """Wait for what others do."""
        async with asyncio.timeout(seconds):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def until_logged(self, worker: subprocess.Popen[bytes], words: str) -> None:
        """Wait for a worker's log line."""
        await self.until(lambda: words in self.log_of(worker))


Install = Callable[[str], OAuthDeliveries]


@pytest.fixture
def install(stack: "LocalStack", tmp_path: Path) -> Install:
    """Makes an installation with a fake portal."""

    def new(crm: str) -> OAuthDeliveries:
        endpoints = stack.endpoints
        prefix = f"t{uuid.uuid4().hex[:8]}"
        installation = OAuthDeliveries(endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, prefix)
        installation.crm = crm
        return installation

    return new


@pytest.mark.parametrize("crm", CRMS)
async def test_two_workers_a_token_expires_under_load_and_one_refreshes(crm: str, install: Install) -> None:
    async with install(crm) as installation:
        workers = [installation.start_worker(crm), installation.start_worker(crm)]
        for worker in workers:
            await installation.until_logged(worker, "partition taken over")
        results = some_results(200)
        producing = asyncio.create_task(installation.produce_results(results, per_second=100))
        await installation.until(lambda: len(installation.portal.entries()) >= 30)
        installation.portal.tokens.expire_access()
        await producing
        await installation.until_delivered(results)
        assert installation.token_requests() == [200]
        known = await installation.known()
        assert known.claim is None and known.refused is None and known.pair.refresh != FIRST_REFRESH
        for worker in workers:
            assert FIRST_REFRESH not in installation.log_of(worker)
            assert known.pair.access not in installation.log_of(worker)
            worker.terminate()
            assert await asyncio.to_thread(worker.wait, 30) == 0


@pytest.mark.parametrize(("crm", "rotated"), [("bitrix24", False), ("kommo", True)])
async def test_killed_in_mid_refresh(crm: str, rotated: bool, install: Install) -> None:
    """Before the vendor rotated the next owner goes on; after it a person is asked for, and the calls are kept."""
    async with install(crm) as installation:
        installation.portal.tokens.expire_access()
        fault = {"mode": "hang", "seconds": 60, "methods": ["token"], "effect": rotated, "times": 1}
        installation.portal.faults.order(fault)
        worker = installation.start_worker(crm)
        results = some_results(10)
        await installation.produce_results(results)
        await installation.until(lambda: installation.token_requests() == [None])
        claim = (await installation.known()).claim
        assert claim is not None
        worker.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.wait)
        second = installation.start_worker(crm)
        if rotated:
            await installation.until_logged(second, "portal is paused")
            assert "cel2crm portal authorise main" in installation.log_of(second)
            assert "cut off" in str((await installation.known()).refused)
            assert installation.portal.entries() == []
            told = await installation.command("portal", "status", "main", "--json")
            assert told.returncode == 1 and b'"state":"refused"' in told.stdout
            code = installation.portal.authorise()
            assert (await installation.command("portal", "authorise", "main", given=code)).returncode == 0
        await installation.until_delivered(results, 120)
        assert len(installation.token_requests()) == (3 if rotated else 2)
        assert installation.log_of(second).count("portal is paused") == int(rotated)


FAULTS: dict[str, dict[str, Any]] = {
    "the portal's licence has ended": {"mode": "payment_required"},
    "lacks the scope telephony": {"mode": "insufficient_scope"},
    "check the address": {"mode": "404"},
    "moved to elsewhere.example": {"mode": "moved", "location": "http://elsewhere.example"},
}


async def test_what_a_person_must_mend_pauses_loudly_once_and_keeps_the_calls(install: Install) -> None:
    async with install("bitrix24") as installation:
        worker = installation.start_worker("bitrix24")
        results = some_results(8 * len(FAULTS))
        for number, (said, fault) in enumerate(FAULTS.items(), start=1):
            ordered = installation.portal.faults.order(fault)
            some = results[8 * (number - 1) : 8 * number]
            await installation.produce_results(some)
            await installation.until_logged(worker, said)
            assert (await installation.until_state(some[0].call_id, State.PAUSED)).reason
            installation.portal.faults.clear(ordered.id)
            await installation.until_delivered(results[: 8 * number])
            assert installation.log_of(worker).count("portal is paused") == number


async def test_many_who_change_at_once_lose_nothing(install: Install) -> None:
    """Compare and swap over the broker: every change is built on the one before."""

    def add_one(known: Credential | None) -> Credential:
        number = 0 if known is None else int(known.pair.access)
        return granted(known, "kommo/counter", pair(1, access=str(number + 1)), utc_now_us())

    async def count(store: KafkaCredentials) -> None:
        for _ in range(4):
            await store.change("kommo/counter", add_one)

    async with install("kommo") as there, there.store() as one, there.store() as two, there.store() as three:
        before = one.get("kommo/main")
        assert before is not None
        await asyncio.gather(count(one), count(two), count(three))
        last = await one.change("kommo/counter", lambda known: None)
        assert last is not None and last.pair.access == "12"
        assert one.get("kommo/main") == before


async def test_a_worker_with_another_key_says_so_and_keeps_the_calls(install: Install) -> None:
    async with install("kommo") as installation:
        file = installation.key_file
        right = file.read_bytes()
        file.unlink()
        write_new_key(file, add=False)
        worker = installation.start_worker("kommo")
        results = some_results(5)
        await installation.produce_results(results)
        await installation.until_logged(worker, "portal is paused")
        assert "credentials.key" in installation.log_of(worker)
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
        file.write_bytes(file.read_bytes() + right)
        installation.start_worker("kommo")
        await installation.until_delivered(results)
