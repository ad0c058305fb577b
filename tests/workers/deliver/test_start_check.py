"""The check at a worker's start: it tells, counts, and neither delays nor ends anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr
from structlog.testing import capture_logs

from deploy.fake_crms import KommoConfig, KommoPortal
from streams.crm.kommo.client import KommoClient
from streams.rules import load_rules
from streams.settings import PortalSettings
from streams.workers.deliver import metrics
from streams.workers.deliver.portal_queue import PortalQueue
from streams.workers.deliver.start_check import StartCheck

RULES = load_rules()


@asynccontextmanager
async def queue_of(portal: KommoPortal, **fields: Any) -> AsyncIterator[PortalQueue]:
    """The queue of a portal."""
    token = SecretStr("fake-long-lived-token")
    settings = PortalSettings(name="main", crm="kommo", url=portal.url, **{"token": token, **fields})
    client = KommoClient(settings, RULES.tables["kommo"].status)
    queue = PortalQueue(settings, client)
    try:
        yield queue
    finally:
        await queue.stop()
        await client.close()


async def told(queue: PortalQueue) -> list[dict[str, Any]]:
    """What a check logs, after it ended."""
    check = StartCheck(lambda portal: None)
    with capture_logs() as logs:
        check.start_once([queue])
        assert check._task is not None
        await check._task
    await check.stop()
    return [dict(line) for line in logs]


def faults() -> float:
    return float(metrics.CHECK_FAULTS.labels("kommo", "main")._value.get())


async def test_a_good_portal_is_one_line() -> None:
    async with KommoPortal() as portal, queue_of(portal) as queue:
        (line,) = await told(queue)
    assert (line["event"], line["log_level"]) == ("portal checked: calls can come", "info") and faults() == 0


async def test_what_a_person_must_mend_is_a_warning_with_its_remedy() -> None:
    async with KommoPortal() as portal, queue_of(portal, default_user="404") as queue:
        (line,) = await told(queue)
        assert queue.throttle.pause_reason is None  # calls go all the same
    assert (line["log_level"], line["about"]) == ("warning", "users") and "404" in line["found"]
    assert "default_user" in line["remedy"] and faults() == 1


async def test_a_portal_that_is_away_is_a_warning() -> None:
    async with KommoPortal() as portal, queue_of(portal) as queue:
        await portal.go_away()
        (line,) = await told(queue)
    assert line["log_level"] == "warning" and "nobody answers" in line["found"] and faults() == 0


async def test_a_check_keeps_to_the_portals_rate() -> None:
    rate = {"burst": 1, "per_second": 20}
    async with KommoPortal(KommoConfig(requests_per_second=0)) as portal, queue_of(portal, rate_limit=rate) as queue:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await told(queue)
        asked = len(portal.log)
    assert asked > 2 and loop.time() - began > (asked - 1) / 20 * 0.9


async def test_an_end_cuts_a_check_off() -> None:
    async with KommoPortal() as portal, queue_of(portal) as queue:
        portal.faults.order({"mode": "hang", "seconds": 60})
        check = StartCheck(lambda portal: None)
        check.start_once([queue])
        while not portal.log:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await check.stop()


async def test_a_portal_that_wants_nothing_more_is_not_asked() -> None:
    async with KommoPortal() as portal, queue_of(portal) as queue:
        queue.throttle.disable("it answered 410")
        assert await told(queue) == [] and not portal.log


async def test_it_is_checked_once_however_often_partitions_come() -> None:
    async with KommoPortal() as portal, queue_of(portal) as queue:
        check = StartCheck(lambda portal: None)
        for _ in range(3):
            check.start_once([queue])
            assert check._task is not None
            await check._task
        asked = len(portal.log)
        assert len([line for line in portal.log if line["operation"] == "account"]) == 1 < asked
        await check.stop()
