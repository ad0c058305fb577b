"""The ways in which faults are put together: each alone, at random, a few in two minutes."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.chaos import results
from tests.chaos.catalogue import FAULTS
from tests.chaos.evidence import keep
from tests.chaos.installation import Installation, installation
from tests.chaos.oracle import Oracle
from tests.chaos.results import Result
from tests.chaos.run import HURRY, USUAL, FaultRun, Tempo
from tests.chaos.servers import ServerKind
from tests.chaos.services import wait_until

CHURNED = ("aggregate", "bitrix24", "kommo", "webhook")


class Suite:
    """Runs faults on installations that it makes: one serves until a fault spoils it or fails."""

    def __init__(self, seed: str, file: Path, say: Callable[[str], None]) -> None:
        self._seed = seed
        self._file = file
        self._say = say
        self._product, self._commit = results.product_version(), results.commit()
        self._open = ExitStack()
        self._made: Installation | None = None
        self._run: FaultRun | None = None
        self._number = 0

    def each_alone(self, names: Sequence[str], *, again: bool = False) -> list[Result]:
        """Each fault alone; the results of the whole run, those of before included."""
        before = [] if again else results.of_run(results.read(self._file), "alone", self._seed, self._product)
        known = {each.fault for each in before}
        done = list(before)
        # Those that spoil their installation last, so that few installations are needed.
        todo = sorted((FAULTS[name] for name in names if name not in known), key=lambda f: (f.servers, f.spoils))
        with self._closing():
            for number, fault in enumerate(todo, start=1):
                self._say(f"[{number}/{len(todo)}] {fault.name}: {fault.does}")
                done.append(self._one(fault.name, self._result(fault.name, "alone")))
        return done

    def at_random(self, minutes: float, names: Sequence[str], *, again: bool = False) -> list[Result]:
        """Faults drawn at random until so many minutes are full, those of before included."""
        before = [] if again else results.of_run(results.read(self._file), "random", self._seed, self._product)
        done = list(before)
        # Other servers would be another installation each time: memory is to be seen over the whole run.
        kinds = sorted(name for name in names if FAULTS[name].at_random and FAULTS[name].servers == "plain")
        with self._closing():
            while sum(each.seconds for each in done) < minutes * 60:
                step = len(done) + 1
                name = Random(f"{self._seed}:{step}").choice(kinds)
                self._say(f"[{sum(each.seconds for each in done) / 60:.0f} of {minutes:.0f} minutes] {name}")
                result = self._result(name, "random", step)
                fault = FAULTS[name]
                with self._without_others(fault.servers) if fault.only_workers else self._churn(fault.servers, step):
                    done.append(self._one(name, result))
        return done

    def short(self, names: Sequence[str]) -> list[Result]:
        """A few faults on one installation, shorter and with little patience."""
        with self._closing():
            return [self._one(name, self._result(name, "short"), HURRY) for name in names]

    def _result(self, name: str, mode: str, step: int = 0) -> Result:
        return Result(name, mode, self._seed, self._product, step, self._commit)

    def _one(self, name: str, result: Result, tempo: Tempo = USUAL) -> Result:
        fault = FAULTS[name]
        try:
            run = self._installed(fault.servers)
            run.tempo = tempo
            run.run(fault, result, Random(f"{self._seed}:{result.step}:{name}"))
        except Exception as error:
            result.failure = result.failure or f"no installation: {type(error).__name__}: {error}"
        results.append(self._file, result)
        if not result.passed and self._made is not None:
            try:
                self._say(f"  kept: {keep(self._made, result, self._file.parent / 'failed')}")
            except Exception as error:  # the servers may be what failed
                self._say(f"  not everything could be kept: {error}")
        self._say(
            f"  {'ok' if result.passed else 'FAILED'}: told {result.told[:100]!r}, recovery {result.recovery}, "
            f"{result.calls} calls, {result.silent} silent, {result.doubled} doubled, {result.wrong} wrong"
            f"{', down: ' + ', '.join(result.services_down) if result.services_down else ''}"
            f"{', ' + result.failure.splitlines()[0][:200] if result.failure else ''}"
        )
        harmed = result.silent or result.doubled or result.wrong or result.services_down
        if result.recovery is None or result.failure or (fault.spoils and harmed):
            self._close()
        elif not (result.passed and fault.table_kept) and self._run is not None:
            self._run.begin_afresh()
        return result

    def _installed(self, kind: ServerKind) -> FaultRun:
        if self._made is not None and self._made.stack.kind != kind:
            self._close()
        if self._made is None or self._run is None:
            self._say(f"  making an installation ({kind})")
            self._number += 1
            self._made = self._open.enter_context(installation(kind, f"{self._seed}:{self._number}"))
            self._run = FaultRun(self._made, Oracle(self._made.settings), self._say)
        return self._run

    def _closing(self) -> ExitStack:
        closing = ExitStack()
        closing.callback(self._close)
        return closing

    def _close(self) -> None:
        self._made = self._run = None
        self._open.close()
        self._open = ExitStack()

    def _without_others(self, kind: ServerKind) -> ExitStack:
        """Second workers that were left by faults before end, and none comes."""
        made = self._installed(kind).made
        for crm in CHURNED:
            if (name := _second(crm)) in made.services.names():
                made.services.remove(name)
        return ExitStack()

    def _churn(self, kind: ServerKind, step: int) -> ExitStack:
        """Second workers that come and go while a fault is on."""
        over, closing = threading.Event(), ExitStack()
        made = self._installed(kind).made

        def churn() -> None:
            random = Random(f"{self._seed}:{step}:churn")
            while not over.wait(random.uniform(5, 20)):
                crm = random.choice(CHURNED)
                name = _second(crm)
                try:
                    if name in made.services.names():
                        made.services.remove(name)
                    else:
                        made.add_worker(crm, name)
                except Exception as error:  # a service that ended in between: the next turn has another
                    self._say(f"  {name}: {error}")

        thread = threading.Thread(target=churn, name="churn", daemon=True)
        thread.start()

        def end() -> None:
            over.set()
            wait_until(lambda: not thread.is_alive(), 90, "workers come and go no more")

        closing.callback(end)
        return closing


def _second(crm: str) -> str:
    return f"worker-{crm}-second"
