"""One phase from its first call to the verdict."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.local import StackError
from tests.chaos.call_flow import InsertedCall
from tests.chaos.oracle import Judgement, Oracle, linkedid_of
from tests.chaos.services import NotReached, wait_until
from tests.scale.installation import Installation, Status
from tests.scale.phases import Phase
from tests.scale.topic_flow import rows_of
from tests.worker_installation import expected_results


@dataclass
class PhaseResult:
    """What came of a phase. Latencies in seconds, from a call's last row on: until its last result stood on the topic,
    until the portal took it."""

    phase: str
    does: str
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    to_result: list[float] = field(default_factory=list)
    to_crm: dict[str, list[float]] = field(default_factory=dict)
    recovery: float = 0.0
    """Seconds from the last call's end until everything was there and nothing waited any more."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stops: list[tuple[str, float, int | None]] = field(default_factory=list)
    """Workers that got SIGTERM: name, seconds to its end, exit status."""
    late_stops: list[str] = field(default_factory=list)
    """Those that took longer than the phase allows, or ended otherwise."""
    ended: list[str] = field(default_factory=list)
    """Workers that ended by themselves, with their exit status."""
    said_during: list[str] = field(default_factory=list)
    said_after: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Each call once and as it should be, each stop graceful, all well afterwards."""
        faults = (self.lost, self.doubled, self.wrong, self.late_stops, self.said_after, self.failure)
        return not any(faults)


def run_phase(
    made: Installation, oracle: Oracle, kind: type[Phase], calls: int, say: Callable[[str], None]
) -> PhaseResult:
    """Let calls flow, do it, wait until everything is there, judge. `calls`: that flow while something is as it is."""
    result, flow, began = PhaseResult(kind.name, kind.does), made.flow, time.monotonic()
    first_call, first_stop, first_end = len(flow.calls), len(made.stops), len(made.services.ended)
    first_row = flow.rows
    say(f"{kind.name}: {kind.does}")

    def look() -> None:
        status = made.status()
        result.said_during += status.said
        say(f"  status after {status.seconds:.1f} s: {'; '.join(status.said) or 'all is well'}")

    flow.start()
    with _failures(result):
        phase = kind(made, look, calls)
        phase.until_calls()
        phase.act()
    with _failures(result):
        flow.pause()
        paused = time.time()
        _until_there(made, oracle, first_call, kind.patience)
        result.said_after = list(_until_well(made, kind.patience).said)
        result.recovery = round(time.time() - paused, 1)
    _judge(made, oracle, first_call, result)
    result.seconds = round(time.monotonic() - began, 1)
    result.rows = flow.rows - first_row
    result.stops = [(each.worker, round(each.seconds, 2), each.status) for each in made.stops[first_stop:]]
    result.late_stops = [
        f"{name} ended {seconds} s after SIGTERM with status {status}"
        for name, seconds, status in result.stops
        if seconds > kind.stop_seconds or status not in kind.stop_statuses
    ]
    result.ended = [f"{each.name} {each.status}" for each in made.services.ended[first_end:]]
    return result


@contextmanager
def _failures(result: PhaseResult) -> Iterator[None]:
    """A phase that cannot be done is a result too, not the end of the run; it is judged all the same."""
    try:
        yield
    except (NotReached, StackError, OSError, TimeoutError, AssertionError) as error:
        result.failure = result.failure or f"{type(error).__name__}: {error}"
    except Exception as error:
        result.failure = result.failure or f"{type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}"


def _until_there(made: Installation, oracle: Oracle, first: int, patience: float) -> None:
    calls = made.flow.calls[first:]

    def there() -> bool:
        if any(made.results.last(_call_id(call)) is None for call in calls):
            return False
        return not oracle.judge(calls, made.entries()).missing

    wait_until(there, patience, "every call's result, and its entry in each portal")


def _until_well(made: Installation, patience: float) -> Status:
    """The last look: nothing waits, and nothing is said; or what is said after so long."""
    deadline = time.monotonic() + patience
    while True:
        status = made.status()
        if (not status.said and not status.waiting) or time.monotonic() > deadline:
            waits = (f"{status.waiting} records or calls wait",) if status.waiting else ()
            return Status((*status.said, *waits), status.waiting, status.seconds)


def _judge(made: Installation, oracle: Oracle, first: int, result: PhaseResult) -> None:
    """Also of the calls of earlier phases: a second entry may come late."""
    calls, all_calls = made.flow.calls[first:], list(made.flow.calls)
    result.calls = len(calls)
    entries = made.entries()
    judgement = oracle.judge(all_calls, entries)
    _take_judgement(judgement, result)
    expected = expected_results(made.settings, rows_of(made.flow, 0))
    for call_id, due in expected.items():
        seen = made.results.last(call_id)
        if seen is None:
            result.lost.append(f"{call_id}: no result")
        elif dict(made.results.decoded(seen)) != due:
            result.wrong.append(f"{call_id}: its result is not that of all its rows")
    result.wrong += [f"{call_id}: one version has two forms" for call_id in made.results.two_forms()]
    result.doubled += [f"{call_id}: of no call" for call_id in sorted(made.results.calls() - set(expected))]
    for name in made.crms:
        result.doubled += _strange(name, entries[name], all_calls)
    _measure(made, calls, entries, result)


def _take_judgement(judgement: Judgement, result: PhaseResult) -> None:
    result.lost += [f"{linkedid} is not in {portal}" for portal, linkedid in sorted(judgement.missing)]
    result.doubled += [f"{linkedid} is doubled in {portal}" for portal, linkedid in sorted(judgement.doubled)]
    result.wrong += [f"{linkedid} in {portal}: {how}" for (portal, linkedid), how in sorted(judgement.wrong.items())]
    result.wrong += judgement.disagreements


def _strange(name: str, entries: list[dict[str, Any]], calls: list[InsertedCall]) -> list[str]:
    known = {call.truth.linkedid for call in calls}
    counts = Counter(linkedid_of(entry) for entry in entries)
    return [f"{linkedid or 'an entry'} in {name} is of no call" for linkedid in counts if linkedid not in known]


def _measure(made: Installation, calls: list[InsertedCall], entries: Any, result: PhaseResult) -> None:
    for call in calls:
        if (seen := made.results.last(_call_id(call))) is not None:
            result.to_result.append(seen.at - call.at)
    ends = {call.truth.linkedid: call.at for call in calls}
    for name in made.crms:
        taken = {
            linkedid_of(entry): datetime.fromisoformat(entry["received_at"]).timestamp() for entry in entries[name]
        }
        result.to_crm[name] = [at - ends[linkedid] for linkedid, at in taken.items() if linkedid in ends]


def _call_id(call: InsertedCall) -> str:
    return f"pbx1/{call.truth.linkedid}"
