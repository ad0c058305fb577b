"""The schema registry as workers need it: waited for at the start, and told when it no longer means what it meant."""

import asyncio
import time
from collections.abc import Mapping

import structlog

from schemas import NoRegistry, SchemaRegistry, Serializer
from streams.errors import UserError

RETRY_SECONDS = 2.0
_TELL_SECONDS = 60.0
_LOOK_SECONDS = 60.0
"""How often a running worker compares the ids that it writes with the registry."""

_REMEDY = (
    "restore the registry's former content with its ids; without it let other readers begin with the records that are "
    "written from now on, whose schemas are registered anew. Keep the registry durable."
)

_log = structlog.get_logger("worker")


async def register_schemas(registry: SchemaRegistry, schemas: Mapping[str, str]) -> Serializer:
    """A serializer for `{topic: schema name}`, as soon as the registry answers: what is written needs its ids.

    One line a minute says what is waited for. Raises UserError where the registry refuses a schema.
    """
    told_at: float | None = None
    while True:
        try:
            return await registry.register(schemas)
        except NoRegistry as away:
            now = time.monotonic()
            if told_at is None or now - told_at >= _TELL_SECONDS:
                _log.warning("waiting for the schema registry", problem=away.problem, remedy=away.remedy)
                told_at = now
            await registry.close()
            await asyncio.sleep(RETRY_SECONDS)


async def warn_of_changed_ids(serializer: Serializer) -> None:
    """Warn where ids of records that were read mean something else in the registry now: it was emptied or replaced.

    Each id is named once.
    """
    try:
        changed = await serializer.changed_ids()
    except UserError as error:
        _log.warning("ids in records could not be compared with the registry", problem=error.problem)
        return
    if changed:
        _log.warning(
            "the schema registry was emptied or replaced: workers read their own records without it, but other readers "
            "(sinks, analytics) misread or refuse what was written before",
            ids={each.schema_id: f"was {each.written_as}, is {each.now or 'unknown'}" for each in changed},
            remedy=_REMEDY,
        )


async def watch_registry(serializer: Serializer, every_seconds: float = _LOOK_SECONDS) -> None:
    """Register the schemas that are written anew when the registry has lost them under a running worker, and tell.

    Until it is cancelled. A registry that is away is no matter: what is written needs its ids alone.
    """
    while True:
        await asyncio.sleep(every_seconds)
        try:
            changed = await serializer.register_again()
        except NoRegistry:
            continue
        except UserError as error:
            _log.error("schemas cannot be registered anew", problem=error.problem, remedy=error.remedy)
            continue
        except Exception:  # whatever answers there: workers do without it
            _log.exception("ids could not be compared with the schema registry")
            continue
        if changed:
            _log.warning(
                "the schema registry was emptied or replaced while the worker ran; its schemas are registered anew. "
                "Other readers (sinks, analytics) misread or refuse what was written before",
                ids={each.schema_id: f"was {each.written_as}, became {each.now or 'unknown'}" for each in changed},
                remedy=_REMEDY,
            )
