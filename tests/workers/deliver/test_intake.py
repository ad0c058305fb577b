"""A result as it comes to the deliveries of a CRM."""

from types import SimpleNamespace
from typing import Any, cast

from schemas import SchemaRegistry, Serializer, own_headers
from streams.calls.differences import compared_hash
from streams.calls.result_headers import ERASURE, ORIGIN
from streams.kafka.topic_client import partition_of
from streams.settings import PortalSettings
from streams.workers.deliver.intake import Intake
from tests.crm.calls import call_result


class NothingRemembered:
    """See streams.workers.deliver.intake.Memory."""

    log_since = 0

    def remembers(self, call_id: str) -> bool:
        return False


async def test_a_result_brings_by_what_it_is_compared_with_others() -> None:
    serializer = Serializer(SchemaRegistry("http://nowhere"))
    serializer.add_schema("call_result", 1)
    portal = PortalSettings(name="main", crm="bitrix24", default_user="1")
    intake = Intake("bitrix24", serializer, cast(Any, None), [portal], {"main": 0}, 0, 4)
    result = call_result(1)
    record = SimpleNamespace(
        topic="call-results",
        partition=partition_of(result.call_id.encode(), 4),
        offset=7,
        value=serializer.encode("call_result", result.record()),
        headers=list(own_headers("call_result")),
    )
    arrived = await intake.result(cast(Any, record), NothingRemembered())
    assert arrived is not None
    assert (arrived.compared_hash, arrived.outcome_hash) == (compared_hash(result), result.outcome_hash)
    assert (arrived.version, arrived.source) == (result.version, ("call-results", record.partition, 7))
    record.headers.append((ORIGIN, ERASURE.encode()))
    assert await intake.result(cast(Any, record), NothingRemembered()) is None, "no CRM hears of an erasure"
