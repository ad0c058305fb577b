"""A mark of capture as `watch` makes it."""

import asyncio
import time

from connectors.apply import connect_client
from connectors.capture_marks import DatabaseCapture
from streams.calls.capture_mark import CaptureMark
from streams.kafka.topic_client import KafkaTopics, TopicRecord
from tests.connectors.installation import Installation


async def marked(pbx: Installation) -> tuple[CaptureMark, list[TopicRecord]]:
    """A mark as `watch` makes it, and the rows that were on the topic then: nothing else is waited for."""
    async with (
        connect_client(pbx.settings) as connect,
        KafkaTopics(pbx.settings.kafka) as topics,
        DatabaseCapture(pbx.settings, connect) as capture,
    ):
        async with asyncio.timeout(60):
            until_ms, place = await capture.take()
            while not await capture.passed(place):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        rows = [record async for record in topics.read(pbx.topic)]
        assert await capture.missing() == ""
        await capture.publish(until_ms)
        marks = [record async for record in topics.read(pbx.settings.kafka.topic("capture-marks"))]
    assert abs(until_ms / 1000 - time.time()) < 60
    return CaptureMark.decode(marks[-1].value or b""), rows
