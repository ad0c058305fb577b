"""Findings as what is remembered of them (connectors/gap_memory.py). Pure but for the clock."""

from connectors.gap_memory import GapOutcome
from streams.clock import utc_now_ms
from streams.gaps.findings import Findings


def outcome_of(found: Findings) -> GapOutcome:
    """The outcome to remember."""
    return GapOutcome(
        compared_at_ms=utc_now_ms(),
        compared_from_id=found.first_id,
        compared_to=found.compared_to,
        missing_rows=found.missing_rows,
        calls_without_result=len(found.calls),
        unsettled_rows=found.unsettled,
        remedies=found.remedies,
    )
