"""An offset of the live group that was set by hand: told at the start, with the command that judges calls anew."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from streams.kafka.committed import Committed
from streams.settings import KafkaSettings, Settings
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.record_decoder import RecordDecoder
from streams.workers.aggregate.steps import Limits
from streams.workers.aggregate.take_over import take_over

CEL = TP("cel2crm.cel", 3)


class Group:
    """A group whose partition holds 100 rows."""

    def __init__(self, committed: Committed | None) -> None:
        self._committed = committed

    async def committed_marked(self, _: TP) -> Committed | None:
        return self._committed

    async def bounds(self, _: TP) -> tuple[int, int]:
        return 0, 100


class Log:
    """A checkpoint log without snapshots."""

    topic, partition = "cel2crm.aggregate-checkpoints", 3

    async def fence(self) -> "Log":
        return self

    async def scan(self, take: Callable[[Any], None]) -> None:
        pass


@pytest.mark.parametrize(
    ("committed", "told"),
    [
        (Committed(0, ""), [("back", "--from-offset 3:0, and then cel2crm replay publish")]),
        (Committed(0, "moved by hand"), [("back", "--from-offset 3:0, and then cel2crm replay publish")]),
        (Committed(100, Marker(100, {}).encode()), []),
        (Committed(50, ""), [("forward", "--from-offset 3:0 --to-offset 3:50, and then cel2crm replay publish")]),
        (None, []),
    ],
    ids=["to the earliest", "with a remark", "a worker's own", "forward: rows are passed over", "a new group"],
)
async def test_only_an_offset_that_was_set_by_hand_is_told(
    committed: Committed | None, told: list[tuple[str, str]]
) -> None:
    settings = Settings()
    with capture_logs() as logs:
        await take_over(
            CEL, cast(Any, Group(committed)), cast(Any, Log()), KafkaSettings(), Limits.of(settings.aggregate),
            RecordDecoder(settings), cast(Any, None),
        )  # fmt: skip
    found = [each for each in logs if "by hand" in each["event"]]
    assert [each["remedy"] for each in found] == [f"cel2crm replay diff {options}" for _, options in told]
    assert all(f"was set {way} by hand" in each["event"] for each, (way, _) in zip(found, told, strict=True))
