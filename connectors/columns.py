"""The columns that a cel table has to have, whatever the database."""

from collections.abc import Iterable, Mapping

from streams.rows.columns import SYNONYMS
from streams.rows.row import COLUMNS
from streams.settings import DatabaseSettings

REQUIRED_COLUMNS = frozenset(COLUMNS) - {"extra", "userdeftype", "cid_rdnis", "cid_ani"}
"""Without the others calls are still told: a table without `extra` is processed the old way."""


def column_refusals(columns: Iterable[str], database: DatabaseSettings) -> list[str]:
    """Which columns are missing that a call cannot be told without, or that an alias names."""
    table = f"{database.name}.{database.table}"
    present = {column.lower(): column for column in columns}
    refusals = []
    for column in COLUMNS:
        alias = database.column_name_aliases.get(f"cel_{column}")
        if (alias or column).lower() in present:
            continue
        if alias is not None:
            refusals.append(f"table {table} has no column {alias}: check database.column_name_aliases.cel_{column}")
        elif column in REQUIRED_COLUMNS:
            told = _called_otherwise(column, present) or (
                f"if it is called otherwise there, say so in database.column_name_aliases.cel_{column}"
            )
            refusals.append(f"table {table} has no column {column}: {told}")
    return refusals


def column_warnings(columns: Iterable[str], database: DatabaseSettings) -> list[str]:
    """Missing columns without which calls are told with less, a line each."""
    present = {column.lower(): column for column in columns}
    absent = [
        column
        for column in COLUMNS
        if f"cel_{column}" not in database.column_name_aliases and column.lower() not in present
    ]
    table = f"{database.name}.{database.table}"
    advice = {column: _called_otherwise(column, present) for column in absent}
    warnings = [
        f"table {table} has no column {column}{f': {words}' if words else ''}" for column, words in advice.items()
    ]
    if "extra" in absent:
        warnings.append("without extra every call is processed the old way: answered or missed, nothing else")
    if database.column_name_aliases.get("cel_extra") == "id":
        warnings.append("cel_extra is id: every call is processed the old way, as asked for")
    return warnings


def _called_otherwise(column: str, present: Mapping[str, str]) -> str | None:
    """The setting for a column that the table has under a name by which other installations know it."""
    found = next((present[name] for name in SYNONYMS.get(column, ()) if name in present), None)
    return None if found is None else f"it has {found}: database.column_name_aliases: {{cel_{column}: {found}}}"
