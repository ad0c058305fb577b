"""The filter language of voximplant.statistic.get."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

PAGE = 50
_KEY = re.compile(r"^(!=|>=|<=|!%|[!><=%?])?(\w+)$")
_NUMBERS = frozenset({"ID", "PORTAL_USER_ID", "CALL_DURATION", "CALL_TYPE", "CRM_ACTIVITY_ID", "CRM_ENTITY_ID", "COST"})


def search(records: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    """The page of records that FILTER, SORT, ORDER and start ask for, with `total` and, if there are more, `next`."""
    conditions = params.get("FILTER") or {}
    found = [record for record in records if isinstance(conditions, dict) and _fits(record, conditions)]
    sort = str(params.get("SORT") or "ID").upper()
    found.sort(
        key=lambda record: _comparable(sort, record.get(sort)),
        reverse=str(params.get("ORDER", "ASC")).upper() == "DESC",
    )
    start = int(params.get("START") or 0)
    answer: dict[str, Any] = {"result": found[start : start + PAGE], "total": len(found)}
    return {**answer, "next": start + PAGE} if start + PAGE < len(found) else answer


def _fits(record: dict[str, Any], conditions: dict[str, Any]) -> bool:
    return all(_holds(record, key, wanted) for key, wanted in conditions.items())


def _holds(record: dict[str, Any], key: str, wanted: Any) -> bool:
    match = _KEY.match(key)
    if match is None:
        return False
    operator, name = match[1] or "=", match[2].upper()
    if isinstance(wanted, list):
        among = any(_holds(record, name, one) for one in wanted)
        return among if operator == "=" else not among
    have, want = _comparable(name, record.get(name)), _comparable(name, wanted)
    match operator:
        case "=":
            return have == want
        case "!" | "!=":
            return have != want
        case ">":
            return have > want
        case ">=":
            return have >= want
        case "<":
            return have < want
        case "<=":
            return have <= want
        case "%" | "?":
            return str(wanted) in str(record.get(name))
    return str(wanted) not in str(record.get(name))


def _comparable(name: str, value: object) -> tuple[float, str]:
    if name == "CALL_START_DATE" and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return (0.0, value)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), "")
    if name in _NUMBERS:
        try:
            return (float(str(value)), "")
        except ValueError:
            return (0.0, str(value))
    return (0.0, "" if value is None else str(value))
