"""Checks of the PBX's MySQL before a connector is applied: where one fails, rows would be lost, or none backfilled."""

from collections.abc import Mapping

from connectors.mariadb.checks import (
    filter_refusals,
    grant_refusals,
    read_facts,
    refuse,
    table_refusals,
    table_warnings,
)
from streams.settings import DatabaseSettings

QUERY = """
SELECT @@version AS version, @@log_bin AS log_bin, @@global.binlog_format AS binlog_format,
       @@global.binlog_row_image AS binlog_row_image, @@global.gtid_mode AS gtid_mode
"""

GTIDS_ON = "enforce_gtid_consistency = ON, gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE, ON"
"""Four statements in this order, each with SET PERSIST; the server goes on meanwhile."""


async def check_database(database: DatabaseSettings) -> list[str]:
    """Read the database as the capture user, and refuse settings that would lose rows. Returns warnings, a line each.

    Raises UserError: no database, a refused password, a binlog that cannot be followed, something missing (the table, a
    column, a grant).
    """
    facts = await read_facts(database, QUERY)
    refuse(
        [
            *binlog_refusals(facts.variables),
            *grant_refusals(facts.grants, "mysql"),
            *filter_refusals(facts, database),
            *table_refusals(facts, database),
        ],
        database,
    )
    return table_warnings(facts, database)


def binlog_refusals(variables: Mapping[str, str]) -> list[str]:
    """Why the server's binlog cannot be followed, with the remedy; empty: it can."""
    if variables["log_bin"] in ("0", "OFF"):
        return [
            "it writes no binlog: take skip-log-bin or disable-log-bin out of the [mysqld] section of the server's "
            "configuration, and restart it"
        ]
    refusals = []
    if variables["binlog_format"] != "ROW":
        refusals.append(
            f"binlog_format is {variables['binlog_format']}: rows would be lost; SET PERSIST binlog_format = ROW, and "
            "restart Asterisk, whose connections keep the old one"
        )
    if variables["binlog_row_image"] != "FULL":
        refusals.append(
            f"binlog_row_image is {variables['binlog_row_image']}: columns would be missing; "
            "SET PERSIST binlog_row_image = FULL, and restart Asterisk, whose connections keep the old one"
        )
    if variables["gtid_mode"] != "ON":
        refusals.append(
            f"gtid_mode is {variables['gtid_mode']}: no row could be backfilled, nor a changed history be noticed; "
            f"SET PERSIST, one after the other: {GTIDS_ON}"
        )
    return refusals
