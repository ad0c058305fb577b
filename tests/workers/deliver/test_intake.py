"""A result as it comes to the deliveries of a CRM."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas import SchemaRegistry, Serializer, own_header, own_headers
from streams.calls.differences import compared_hash
from streams.calls.result_headers import BACKFILL, ERASURE, ORIGIN
from streams.clock import MICROS_PER_DAY
from streams.delivery.command_record import Command
from streams.delivery.portal_records import Service
from streams.delivery.record import Action
from streams.kafka.topic_client import partition_of
from streams.settings import PortalSettings
from streams.workers.deliver.intake import Intake
from tests.crm.calls import call_result


class NothingRemembered:
    """See streams.workers.deliver.intake.Memory."""

    log_since = 0

    def remembers(self, call_id: str) -> bool:
        return False


def record_of(topic: str, partition: int, value: bytes, schema: str, origin: str | None = None) -> Any:
    headers = list(own_headers(schema))
    if origin:
        headers.append((ORIGIN, origin.encode()))
    return SimpleNamespace(topic=topic, partition=partition, offset=7, value=value, headers=headers)


@pytest.mark.parametrize(("after_the_call", "looked_up"), [(1, True), (-1, False)])
async def test_what_an_installation_before_this_one_may_have_brought_is_looked_up(
    after_the_call: int, looked_up: bool
) -> None:
    """A server that was lost, and calls that are ordered from a backfill: at the CRM they are already."""
    serializer = Serializer(SchemaRegistry("http://nowhere"))
    serializer.add_schema("call_result", 1)
    serializer.add_schema("delivery_command", 2)
    portal = PortalSettings(name="main", crm="bitrix24", default_user="1", deliver_backfill=True)
    result = call_result(1)
    began = result.ended_at + after_the_call
    year = 366 * MICROS_PER_DAY * 100
    intake = Intake("bitrix24", serializer, cast(Any, None), [portal], {"main": Service(0, began)}, year, 4)
    value, partition = serializer.encode("call_result", result.record()), partition_of(result.call_id.encode(), 4)
    ordered = Command(
        id="1",
        call_id=result.call_id,
        crm="bitrix24",
        action=Action.DELIVER,
        by="me",
        at=0,
        result=value,
        result_schema=own_header("call_result").decode(),
    )
    encoded = serializer.encode("delivery_command", ordered.record())
    _, command = await intake.command(
        record_of("delivery-commands", partition, encoded, "delivery_command"), NothingRemembered()
    )
    assert command is not None
    assert command.look_first is looked_up
    backfilled = await intake.result(
        record_of("call-results", partition, value, "call_result", BACKFILL), NothingRemembered()
    )
    live = await intake.result(record_of("call-results", partition, value, "call_result"), NothingRemembered())
    assert backfilled is not None
    assert live is not None
    assert (backfilled.look_first, live.look_first) == (looked_up, False)


async def test_a_result_brings_by_what_it_is_compared_with_others() -> None:
    serializer = Serializer(SchemaRegistry("http://nowhere"))
    serializer.add_schema("call_result", 1)
    portal = PortalSettings(name="main", crm="bitrix24", default_user="1")
    intake = Intake("bitrix24", serializer, cast(Any, None), [portal], {"main": Service(0, 0)}, 0, 4)
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
