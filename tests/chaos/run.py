"""One fault from the blow to the verdict."""

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from confluent_kafka import KafkaException

from deploy.local import StackError
from tests.chaos.brokers import Brokers
from tests.chaos.call_flow import InsertedCall, connect
from tests.chaos.fault import Fault
from tests.chaos.installation import WATCH, WORKERS, Installation
from tests.chaos.load import Load
from tests.chaos.operator_view import OperatorView, shortened
from tests.chaos.oracle import PORTALS, Judgement, Oracle, rows_not_in_table
from tests.chaos.remedies import allowed_commands, follow
from tests.chaos.results import Result
from tests.chaos.services import NotReached, wait_until

_POLL_SECONDS = 1.0
_STABLE_SECONDS = 3.0
"""After everything is right: long enough for a double to show."""
_LONGEST_SECONDS = 420.0
"""For all waiting after one fault, progress or not."""
_QUIET_SECONDS = 30.0
"""Without any progress for so long, the operator looks what is wrong."""
_NAMED_SECONDS = 10.0
"""Without a call that arrives, after a remedy was named: the operator follows it."""
_SHORT_SECONDS = 5.0
"""Without any progress, where a remedy was named and nothing flows."""
_IDLE_SECONDS = 60.0
"""Without progress, and without records that wait for a worker."""
_ROUNDS = 3
"""Of asking what is wrong and following what is said."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """The times that a run takes. `patience`, `duration`: factors on the faults' patience, and how long they last."""

    calls_before: int = 3
    patience: float = 1.0
    duration: float = 1.0


USUAL = Tempo()
HURRY = Tempo(calls_before=1, patience=0.3, duration=0.4)


@dataclass
class FaultRun:
    """Strikes an installation with faults, and judges each."""

    made: Installation
    oracle: Oracle
    say: Callable[[str], None]
    tempo: Tempo = USUAL
    _seen: tuple[int, ...] = ()

    def run(self, kind: type[Fault], result: Result, random: Random) -> Result:
        """Fill `result` in."""
        flow = self.made.flow
        result.began_at, began = time.time(), time.monotonic()
        first_call, services_before = len(flow.calls), len(self.made.services.ended)
        letters_before = self._letters()
        with OperatorView(self.made) as view, Load(self.made) as load:
            flow.start()
            try:
                self._until_calls(self.tempo.calls_before)
                view.begin()
                fault = kind(self.made, random)
                fault.duration = self.tempo.duration
                struck = time.time()
                fault.strike()
                self._judge(fault, result, view, struck)
            except (NotReached, StackError, OSError) as error:
                result.failure = f"{type(error).__name__}: {error}"
            except Exception as error:  # a fault that cannot be done is a result too, not the end of the run
                result.failure = f"{type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}"
            self._tell(kind, result, view)
            result.load = load.report()
        result.calls = len(flow.calls) - first_call
        result.services_ended = [
            f"{each.name} {each.status} after {each.at - result.began_at:.0f} s"
            for each in self.made.services.ended[services_before:]
        ][:40]
        if result.passed and self._letters() != letters_before:
            # Nothing more is wanted of them: the next fault is to be told by its own.
            self.made.cel2crm("dead-letters", "drop", "--yes", "--note", "healed")
        result.seconds = round(time.monotonic() - began, 1)
        return result

    def _letters(self) -> int | None:
        """How many dead letters there are; None: that cannot be asked now."""
        with contextlib.suppress(KafkaException):
            return Brokers(self.made).total("dead-letters")
        return None

    def _judge(self, fault: Fault, result: Result, view: OperatorView, struck: float) -> None:
        flow, ended = self.made.flow, time.time()
        self.say(f"  cause gone after {ended - struck:.0f} s; waiting for calls to arrive again")
        named = partial(self._has_remedy, fault, view)
        result.recovery = self._recovery(ended, _QUIET_SECONDS + 30, named)
        flow.pause()
        # Where a person has to act first, what is missing does not come by itself.
        quiet = _QUIET_SECONDS if not named() else _NAMED_SECONDS if result.recovery is not None else _SHORT_SECONDS
        judgement = self._settled(quiet)
        result.missing_before_remedies = len(judgement.missing_calls())
        for number in range(_ROUNDS):
            if not judgement.missing and result.recovery is not None:
                break
            if number or not named():  # who was told by a log what to do need not ask first
                view.ask()
            done = follow(self.made, view.all_words(), fault.remedies)
            result.followed += [f"{each.command} -> {each.status} ({each.seconds:.0f} s)" for each in done]
            if result.recovery is None:
                flow.start()
                result.recovery = self._recovery(ended, _QUIET_SECONDS + 30)
                flow.pause()
            judgement = self._settled(_QUIET_SECONDS)
            if not done:
                break
        if result.recovery is None:
            flow.start()
            result.recovery = self._recovery(ended, fault.patience)
            flow.pause()
        if judgement.missing:  # late, or lost
            judgement = self._settled(fault.patience)
        if not judgement.missing:
            result.all_there = round(time.time() - ended, 1)
        if fault.told and view.first(fault.told) is None:
            view.ask()
        if fault.table_kept and (lacking := self._not_in_table()):
            raise NotReached(f"{len(lacking)} rows of the ledger are not in the table, such as {lacking[0]}")
        self._count(judgement, result)
        statuses = {each.name: each.status for each in self.made.services.ended}
        result.services_down = [
            f"{name} (ended with status {statuses.get(name)})"
            for name in sorted({*WORKERS, WATCH} - set(self._running()))
        ]

    def begin_afresh(self) -> None:
        """After a fault that lost or doubled something: calls of before are judged no more, everything runs again."""
        self.made.flow.calls.clear()
        for name in {*WORKERS, WATCH} - set(self._running()):
            self.made.services.start(name)

    def _running(self) -> list[str]:
        """The services that run, or are about to be started again."""
        with contextlib.suppress(NotReached):
            wait_until(lambda: {*WORKERS, WATCH} <= set(self.made.services.running()), 10, "every service runs")
        return self.made.services.running()

    def _has_remedy(self, fault: Fault, view: OperatorView) -> bool:
        """Whether the operator was named a command by now that this fault lets the suite follow."""
        return bool(allowed_commands(view.all_words(), fault.remedies))

    def _recovery(self, ended: float, seconds: float, named: Callable[[], bool] = lambda: False) -> float | None:
        """Seconds since `ended` when a call that begins now is in every portal; None: not within `seconds`.

        Given up early where a remedy was `named`.
        """
        mark = len(self.made.flow.calls) + self.made.flow.active
        began = time.monotonic()
        deadline = began + seconds * self.tempo.patience
        while (now := time.monotonic()) < deadline and not (now - began > _NAMED_SECONDS and named()):
            entries = self.made.entries()
            for call in self.made.flow.calls[mark:]:
                if len(self.oracle.due(call)) == len(PORTALS) and not self.oracle.judge([call], entries).missing:
                    return round(time.time() - ended, 1)
            time.sleep(_POLL_SECONDS)
        return None

    def _settled(self, patience: float) -> Judgement:
        """The judgement when everything is right and stays so, or nothing has moved for `patience` seconds.

        Less than that where nothing is left to do: no group lags, so that what is missing never comes by itself.
        """
        calls = list(self.made.flow.calls)
        moved = right_since = idle_since = time.monotonic()
        ends = moved + _LONGEST_SECONDS
        seen: tuple[int, ...] = ()
        while True:
            entries = self.made.entries()
            judgement = self.oracle.judge(calls, entries)
            now = time.monotonic()
            counts = tuple(len(each) for each in entries.values())
            if counts != seen:
                seen, moved, right_since = counts, now, now
            if judgement.missing:
                right_since = now
                if self._lags():
                    idle_since = now
            done = (
                now - right_since > _STABLE_SECONDS
                or now - max(moved, idle_since) > _IDLE_SECONDS * self.tempo.patience
            )
            if done or now - moved > patience * self.tempo.patience or now > ends:
                return judgement
            time.sleep(_POLL_SECONDS)

    def _lags(self) -> bool:
        """Whether a group has records before it; also where that cannot be asked."""
        brokers = Brokers(self.made)
        topics = {"aggregate": "cel", **dict.fromkeys(PORTALS, "call-results")}
        try:
            return any(brokers.lag(group, topic) for group, topic in topics.items())
        except KafkaException:
            return True

    def _count(self, judgement: Judgement, result: Result) -> None:
        result.silent = len(judgement.missing_calls())
        result.doubled, result.wrong = len(judgement.doubled), len(judgement.wrong)
        result.examples = [
            *(f"missing: {linkedid} in {portal}" for portal, linkedid in sorted(judgement.missing)[:4]),
            *(f"doubled: {linkedid} in {portal}" for portal, linkedid in sorted(judgement.doubled)[:4]),
            *(
                f"wrong: {linkedid} in {portal} {how}"
                for (portal, linkedid), how in sorted(judgement.wrong.items())[:4]
            ),
            *judgement.disagreements[:4],
        ]
        if judgement.disagreements:
            result.failure = f"the oracle is in doubt about {len(judgement.disagreements)} calls"

    def _tell(self, kind: type[Fault], result: Result, view: OperatorView) -> None:
        told = view.first(kind.told) if kind.told else (view.told[0] if view.told else None)
        result.expected_told = told is not None or not kind.told
        if told is None and view.told:
            told = view.told[0]
        if told is not None:
            result.told, result.told_after = shortened(f"{told.source}: {told.words}"), told.after

    def _until_calls(self, count: int) -> None:
        flow = self.made.flow
        wanted = len(flow.calls) + count
        wait_until(lambda: len(flow.calls) >= wanted, 90.0, f"{count} calls are inserted before the blow")

    def _not_in_table(self) -> Sequence[str]:
        with connect(self.made.endpoints) as connection:
            calls: list[InsertedCall] = list(self.made.flow.calls)
            return rows_not_in_table(connection, calls)
