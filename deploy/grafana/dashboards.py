"""The dashboards over the views of connectors/sinks/jdbc, and their queries.

A query says the same in PostgreSQL and in MariaDB. `calls` tells moments, so its times follow the browser's zone; the
other views count by days and hours of the PBX's clock, and are asked for the days that the chosen time touches.
"""

from typing import Any

from deploy.grafana.model import DATA_SOURCES, Panel, Variable, dashboard

_CHOSEN = "pbx in ($pbx) and direction in ($direction)"
_CALLS = f"from calls\nwhere not abandoned and $__timeFilter(started_at) and {_CHOSEN}"
_DAYS = "between cast($__timeFrom() as date) and cast($__timeTo() as date)"
_COUNTS = (
    "sum(calls) as calls, sum(answered) as answered,\n"
    "  round(100.0 * sum(answered) / sum(calls), 1) as answered_percent,\n"
    "  sum(missed) as missed, sum(busy) as busy, sum(failed) as failed,\n"
    "  sum(talk_seconds * answered)\n"
    "    / nullif(sum(case when talk_seconds is not null then answered end), 0) as talk_seconds"
)
_BY_OUTCOME = "".join(
    f",\n  sum(case when outcome = '{word}' then 1 else 0 end) as {word}"
    for word in ("answered", "missed", "busy", "failed")
)

VARIABLES = (
    Variable("pbx", "select distinct pbx from calls order by pbx"),
    Variable("direction", "select distinct direction from calls order by direction"),
)


def _by(view: str, name: str) -> str:
    return (
        f"select {name}, direction, {_COUNTS}\nfrom {view}\nwhere day {_DAYS} and {_CHOSEN}\n"
        f"group by {name}, direction order by calls desc"
    )


CALLS = (
    Panel("Calls", "stat", f"select count(*) as calls\n{_CALLS}", 6, 4),
    Panel(
        "Answered", "stat",
        "select 100.0 * sum(case when answered then 1 else 0 end) / nullif(count(*), 0) as answered_percent\n" + _CALLS,
        6, 4, "percent", "Calls that a person answered, of all.",
    ),
    Panel(
        "Incoming, nobody answered", "stat",
        f"select count(*) as calls\n{_CALLS} and direction = 'incoming' and not answered", 6, 4,
    ),
    Panel(
        "Talk, mean", "stat", f"select avg(talk_seconds) as talk_seconds\n{_CALLS} and answered", 6, 4, "s",
        "Answered calls only.",
    ),
    Panel(
        "Outcomes by hour", "timeseries",
        f"select $__timeGroupAlias(started_at, '1h'){_BY_OUTCOME}\n{_CALLS}\ngroup by 1 order by 1", 24, 9,
        stacked=True,
    ),
    Panel(
        "Ringing and waiting of answered calls", "timeseries",
        "select $__timeGroupAlias(started_at, '1h'), avg(ringing_seconds) as ringing_seconds,\n"
        f"  avg(queue_seconds) as queue_seconds\n{_CALLS} and answered\ngroup by 1 order by 1",
        12, 8, "s",
    ),
    Panel(
        "Outcomes by hour of the day", "barchart",
        "select concat(extract(hour from hour), ' h') as hour_of_day, sum(answered) as answered,\n"  # noqa: S608
        "  sum(missed) as missed, sum(busy) as busy, sum(failed) as failed\n"
        f"from calls_by_hour\nwhere cast(hour as date) {_DAYS} and {_CHOSEN}\n"
        "group by extract(hour from hour) order by extract(hour from hour)",
        12, 8, description="By the PBX's clock.", stacked=True,
    ),
    Panel("By trunk", "table", _by("by_trunk", "trunk"), 12, 8),
    Panel("By extension", "table", _by("by_extension", "extension"), 12, 8),
    Panel(
        "Why calls reached nobody", "table",
        f"select trunk, result, result_name, hangup_cause, count(*) as calls\n{_CALLS} and outcome = 'failed'\n"
        "group by trunk, result, result_name, hangup_cause order by calls desc",
        24, 8, description="Calls whose outcome is failed, by result and Q.850 cause.",
    ),
)  # fmt: skip

CALL_BACKS = (
    Panel(
        "Clients who wait for a call back", "stat", "select count(*) as clients from missed_not_called_back", 6, 4,
        description="Of all the time that the database holds: nobody answered, and nobody talked with them since.",
    ),
    Panel(
        "The longest has waited", "stat", "select max(waiting_seconds) as waiting_seconds from missed_not_called_back",
        6, 4, "s",
    ),
    Panel(
        "Incoming, nobody answered", "timeseries",
        "select $__timeGroupAlias(started_at, '1h'), count(*) as calls\nfrom calls\n"
        "where not abandoned and $__timeFilter(started_at) and direction = 'incoming' and not answered\n"
        "  and pbx in ($pbx)\n"
        "group by 1 order by 1",
        12, 8, stacked=True,
    ),
    Panel(
        "Who waits", "table",
        "select client, missed, first_missed_at, last_missed_at, waiting_seconds, tries\n"
        "from missed_not_called_back order by first_missed_at limit 500",
        24, 12, description="The longest first, at most 500.",
    ),
    Panel(
        "By queue", "table",
        "select queue, sum(calls) as calls, sum(answered) as answered, sum(missed) as missed, sum(busy) as busy,\n"
        "  sum(failed) as failed, sum(queue_seconds * calls) / sum(calls) as queue_seconds,\n"
        "  max(queue_seconds_not_answered) as longest_day_not_answered_seconds,\n"
        "  sum(agents_offered * calls) / sum(calls) as agents_offered\n"
        f"from by_queue\nwhere day {_DAYS} and pbx in ($pbx)\ngroup by queue order by calls desc",
        24, 8, description="The wait is the mean; that of calls that nobody answered is the mean of the worst day.",
    ),
)  # fmt: skip


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard by the name of its file."""
    made = {}
    for engine in DATA_SOURCES:
        made[f"calls-{engine}.json"] = dashboard(
            engine, "cel2crm-calls", "Calls", CALLS, VARIABLES, "What calls came to, from the views of cel2crm."
        )
        made[f"call-backs-{engine}.json"] = dashboard(
            engine, "cel2crm-call-backs", "Call backs", CALL_BACKS, VARIABLES[:1],
            "Who waits for a call back, and where calls are missed, from the views of cel2crm.",
        )  # fmt: skip
    return made
