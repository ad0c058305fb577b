"""Checks of a lake's catalog before its connectors are applied: it answers, and the user may keep tables in it."""

import asyncio
from http import HTTPStatus

import aiohttp

from connectors.sinks.jdbc.connection import TIMEOUT_SECONDS, Run, connected
from streams.errors import UserError
from streams.settings import SinkSettings

TABLES = ("iceberg_tables", "iceberg_namespace_properties")
"""The tables of a JDBC catalog: catalog.sql."""

_RIGHTS = ("select", "insert", "update", "delete")


async def lake_refusals(sink: SinkSettings) -> list[str]:
    """Why the catalog cannot be used, a line each; empty: it can. Raises UserError: no answer, no login."""
    if sink.lake.catalog == "rest":
        return await _rest(str(sink.lake.url))
    return await asyncio.to_thread(_jdbc, sink)


def lake_remedy(sink: SinkSettings) -> str:
    """What makes the catalog usable."""
    if sink.lake.catalog == "rest":
        return "Check lake.url of the sink: what stands before /v1/config there."
    return (
        f"cel2crm connectors tables {sink.called} prints the catalog's tables: run it there as the owner of the "
        f"database; grant {sink.user} what docs/analytics.md names."
    )


def _jdbc(sink: SinkSettings) -> list[str]:
    with connected(sink) as run:
        return jdbc_refusals(sink, run)


def jdbc_refusals(sink: SinkSettings, run: Run) -> list[str]:
    """What the catalog's database lacks, or the user may not do there."""
    lines = []
    for table in TABLES:
        rights = ", ".join(f"has_table_privilege(to_regclass('{table}'), '{right}') as {right}" for right in _RIGHTS)
        (row,) = run(f"select to_regclass('{table}') is not null as there, {rights}")
        if not row.pop("there"):
            lines.append(f"there is no table {table}, or user {sink.user} may not see it")
        elif refused := [right for right, allowed in row.items() if not allowed]:
            lines.append(f"user {sink.user} may not {', '.join(refused)} in table {table}")
    return lines


async def _rest(url: str) -> list[str]:
    """A catalog that wants a login answers so without one: the sink has it, this command has not."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/v1/config") as got,
        ):
            status = got.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError(
            f"no REST catalog answers at {url} ({str(error) or type(error).__name__})",
            "Start it, or check lake.url of the sink.",
        ) from None
    if status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return []
    return [f"{url} is no Iceberg REST catalog: /v1/config answers with HTTP {status}"]
