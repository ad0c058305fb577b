"""A dashboard in the JSON that Grafana imports (schema version 39: Grafana 10.4 and newer)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["stat", "timeseries", "barchart", "table"]

DATA_SOURCES = {"postgresql": "grafana-postgresql-datasource", "mariadb": "mysql"}
"""Grafana's data source of each engine."""

COLOURS = {"answered": "#2a9d8f", "missed": "#e9803a", "busy": "#d9b13b", "failed": "#8a8f98"}
"""Of outcomes, as in the report."""

_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its query, and how its answer is shown."""

    title: str
    kind: Kind
    sql: str
    """In words that PostgreSQL and MariaDB share, with the macros and variables of Grafana."""
    width: int
    height: int
    unit: str = "short"
    description: str = ""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard, from what a query finds; several at once."""

    name: str
    sql: str


def dashboard(
    engine: str, uid: str, title: str, panels: Sequence[Panel], variables: Sequence[Variable], description: str
) -> dict[str, Any]:
    """A dashboard over the data source that is chosen when it is imported or looked at."""
    return {
        "uid": f"{uid}-{engine}",
        "title": title,
        "description": description,
        "tags": ["cel2crm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [_data_source(engine), *(_variable(engine, each) for each in variables)]},
        "panels": _placed(engine, panels),
    }


def _source(engine: str) -> dict[str, str]:
    return {"type": DATA_SOURCES[engine], "uid": "${datasource}"}


def _data_source(engine: str) -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "data source",
        "type": "datasource",
        "query": DATA_SOURCES[engine],
        "refresh": 1,
        "current": {},
        "hide": 0,
    }


def _variable(engine: str, variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.name,
        "type": "query",
        "datasource": _source(engine),
        "query": variable.sql,
        "definition": variable.sql,
        "refresh": 2,  # with the time range
        "multi": True,
        "includeAll": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "sort": 1,
        "hide": 0,
    }


def _placed(engine: str, panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """The panels from left to right, in rows of 24 columns."""
    placed, left, top, row = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        if left + panel.width > _WIDTH:
            left, top, row = 0, top + row, 0
        placed.append(_panel(engine, number, panel, {"x": left, "y": top, "w": panel.width, "h": panel.height}))
        left, row = left + panel.width, max(row, panel.height)
    return placed


def _panel(engine: str, number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    form = "time_series" if panel.kind == "timeseries" else "table"
    target = {"refId": "A", "datasource": _source(engine), "editorMode": "code", "rawQuery": True, "format": form}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _source(engine),
        "gridPos": place,
        "targets": [{**target, "rawSql": panel.sql}],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides()},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {"drawStyle": "bars" if panel.stacked else "line", "fillOpacity": 80 if panel.stacked else 10}
        custom["stacking"] = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    elif panel.kind == "barchart":
        custom = {"fillOpacity": 80}
    return {"unit": panel.unit, "custom": custom}


def _overrides() -> list[dict[str, Any]]:
    """Colours of outcomes, and units of columns by their names."""
    colours = [
        _override("byName", name, "color", {"mode": "fixed", "fixedColor": colour}) for name, colour in COLOURS.items()
    ]
    units = [
        ("byRegexp", "/seconds/", "s"),
        ("byRegexp", "/percent/", "percent"),
        ("byRegexp", "/_at$/", "dateTimeAsIso"),
    ]
    return [*colours, *(_override(matcher, name, "unit", unit) for matcher, name, unit in units)]


def _override(matcher: str, name: str, key: str, value: Any) -> dict[str, Any]:
    return {"matcher": {"id": matcher, "options": name}, "properties": [{"id": key, "value": value}]}


def _options(panel: Panel) -> dict[str, Any]:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    match panel.kind:
        case "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "none"}
        case "barchart":
            return {"stacking": "normal" if panel.stacked else "none", "legend": legend, "showValue": "never"}
        case "timeseries":
            return {"legend": legend, "tooltip": {"mode": "multi"}}
        case "table":
            return {"showHeader": True}
