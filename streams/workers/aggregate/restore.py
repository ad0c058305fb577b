"""A partition's state restored from its checkpoint and the rows after it (rule 10). Pure, as partition_state.py."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from streams.calls.snapshot import checkpointed
from streams.kafka.committed import Committed
from streams.workers.aggregate.lost_rows import NOBODY_KNOWS
from streams.workers.aggregate.marker import Marker
from streams.workers.aggregate.partition_state import PartitionState
from streams.workers.aggregate.steps import (
    Fence,
    Limits,
    PassedOver,
    ReadCommitted,
    ReadEnd,
    ReadSnapshots,
    Replay,
    RestoreStep,
    TopicMadeAgain,
)


def restore(
    limits: Limits,
    first_offset: int,
    end_offset: int,
    new: Callable[..., PartitionState] = PartitionState,
    *,
    made_again: bool = False,
) -> Generator[RestoreStep, Any, PartitionState]:
    """Take over a partition (rule 10), as soon as it is assigned: calls left open must not wait for a stranger's row.

    The topic holds first_offset <= offset < end_offset. Rows are to be consumed from the returned partition's position.
    `made_again`: what was committed, and the checkpoints, are of an earlier topic of that name.
    """
    yield Fence()
    committed: Committed | None = yield ReadCommitted()
    snapshots: Mapping[str, bytes] = yield ReadSnapshots()
    start = committed.offset if committed else first_offset
    marker = Marker.decode(committed.metadata) if committed else None
    lost = start < first_offset
    if marker is None:  # a new group, its offsets were deleted, or were set by hand
        marker = Marker(start, {}, NOBODY_KNOWS if start else {})
        read = [each.snapshot for each in checkpointed(snapshots)[0].values()]
        newest = max((each.covered_offset for each in read), default=0)
        if newest > end_offset:
            end_offset = yield ReadEnd(newest)
        done = max((each.complete_offset for each in read if each.covered_offset <= end_offset), default=0)
        if newest > end_offset or made_again:
            yield TopicMadeAgain(start)
            lost = True
        elif done < start:
            yield PassedOver(done, start)
            lost = True
    elif end_offset < start:  # it was asked before others took rows, and committed them: all of them are to be replayed
        end_offset = yield ReadEnd(start)
    partition = new(limits, marker.offset, marker.times, marker.lost_until)
    partition.adopt(snapshots, marker, start, -1 if made_again else end_offset)
    if marker.offset < start:
        yield Replay(partition, marker.offset, min(start, end_offset))
    partition.position = max(start, first_offset)
    if lost:
        partition.lose(partition.position)
    return partition
