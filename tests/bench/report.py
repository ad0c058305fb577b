"""`cel2crm report` of many calls: reading their results, counting, and the page. Topics in memory, one process."""

import asyncio
import time
from typing import Any

from rich.table import Table

from streams.analysis.report.calls import ReportCall, period_of, report_call
from streams.analysis.report.figures import report_of
from streams.analysis.report.page import PageOptions, page_of
from streams.analysis.truth import Truths, read_truths
from streams.settings import Settings
from tests.operations.memory import Operator
from tests.operations.report_calls import FIRST_DAY, many_calls


def measure(calls: int) -> dict[str, Any]:
    """CPU seconds of each step, and the size of the page."""
    operator = Operator(Settings())
    for result in many_calls(calls):
        operator.result(result)
    truths = Truths(lambda _, call: report_call(call))
    started = time.process_time()
    asyncio.run(_read(operator, truths))
    read = time.process_time()
    made = report_of(truths.all(), period_of("2026-11-16", "2026-11-30", 0, 7), None)
    counted = time.process_time()
    page = page_of(made, PageOptions("en", FIRST_DAY, mask_numbers=False))
    ended = time.process_time()
    assert len(made.calls) == calls
    return {
        "calls": calls,
        "read_seconds": read - started,
        "count_seconds": counted - read,
        "page_seconds": ended - counted,
        "page_bytes": len(page.encode()),
    }


async def _read(operator: Operator, truths: Truths[ReportCall]) -> None:
    await read_truths(await operator.connection(), truths, None)


def show(measured: dict[str, Any]) -> Table:
    """A line a step."""
    table = Table("step", "CPU", "results/CPU s", title=f"report of {measured['calls']:,} calls")
    for step in ("read", "count", "page"):
        seconds = measured[f"{step}_seconds"]
        table.add_row(step, f"{seconds:.2f} s", f"{measured['calls'] / seconds:,.0f}")
    table.add_row("size of the page", f"{measured['page_bytes'] / 1e6:.1f} MB", "")
    return table
