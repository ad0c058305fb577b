"""Workers start together: each registers its schemas at the same moment."""

import asyncio

import pytest

from deploy.local import LocalStack
from schemas import SchemaRegistry


@pytest.mark.servers
async def test_processes_that_start_together_register_the_same_schemas(stack: LocalStack) -> None:
    async def register(topic: str) -> bytes:
        async with SchemaRegistry(stack.endpoints.registry_url) as registry:
            serializer = await registry.register({topic: "call_leg"})
            return serializer.encode("call_leg", LEG)

    for number in range(10):
        framed = await asyncio.gather(*(register(f"race{number}.legs") for _ in range(4)))
        assert len(set(framed)) == 1


LEG = {"call_id": "a/1", "version": 1, "leg": 1, "channel": "PJSIP/1-1", "started_at": 1, "outcome": "calling"}
