"""A second look where the first one cannot tell work under way from work that stands still. Pure.

A worker that was killed holds its partitions until its session is over, and a worker that works has records that it
has taken but not committed yet. They differ in what a while shows: the group's offsets move, or they do not.
"""

from collections.abc import Mapping

from streams.clock import UtcMillis
from streams.operations.status.facts import Backlog, PartitionProgress, WorkerFacts
from streams.operations.status.progress import AGGREGATE
from streams.settings import Settings

BACKLOG_SECONDS = 6.0
"""A row that is missing on the topic for so long is not under way: Debezium takes half a second."""

LONGEST_WATCH_SECONDS = 8.0
"""A worker that commits less often is judged by how long its oldest record has been waiting."""
HOLDERLESS_SECONDS = 3.0
"""A group that is being shared out anew has no holders for a moment."""

_MARGIN_SECONDS = 3.0
_DELIVERY_COMMIT_SECONDS = 1.0


def commit_seconds(worker: str, settings: Settings) -> float:
    """The time within which a worker that works commits what it has taken."""
    own = settings.aggregate.flush_seconds if worker == AGGREGATE else _DELIVERY_COMMIT_SECONDS
    return own + _MARGIN_SECONDS


def stands(each: PartitionProgress, worker: WorkerFacts, at: UtcMillis, settings: Settings) -> bool:
    """Whether a partition that somebody holds does not move, though a record has been waiting for long enough."""
    limit = commit_seconds(worker.name, settings)
    if each.holder is None or each.waiting <= 0 or each.moved:
        return False
    if worker.watched_seconds < min(limit, LONGEST_WATCH_SECONDS):
        return False
    long_enough = limit if limit <= LONGEST_WATCH_SECONDS else 2 * limit
    return each.waiting_since is None or at - each.waiting_since >= long_enough * 1000


def is_free(worker: WorkerFacts) -> bool:
    """Whether partitions that nobody holds are no passing state."""
    return not worker.rebalancing and (worker.members == 0 or worker.watched_seconds >= HOLDERLESS_SECONDS)


def workers_settled(workers: Mapping[str, WorkerFacts], settings: Settings) -> bool:
    """Whether another look would show nothing new."""
    return all(_is_settled(worker, settings) for worker in workers.values())


def backlog_settled(backlog: Backlog | None) -> bool:
    """Whether another look would show nothing new."""
    return backlog is None or backlog.seconds >= BACKLOG_SECONDS


def _is_settled(worker: WorkerFacts, settings: Settings) -> bool:
    if worker.members == 0:
        return True
    if worker.rebalancing:
        return worker.watched_seconds >= LONGEST_WATCH_SECONDS
    if any(each.holder is None for each in worker.partitions) and worker.watched_seconds < HOLDERLESS_SECONDS:
        return False
    idle = all(each.waiting <= 0 or each.moved for each in worker.partitions)
    return idle or worker.watched_seconds >= min(commit_seconds(worker.name, settings), LONGEST_WATCH_SECONDS)
