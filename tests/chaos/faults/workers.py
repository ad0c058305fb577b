"""Workers: killed, stopped, more of them, fewer of them."""

import signal

from tests.chaos.fault import Fault
from tests.chaos.installation import WORKERS, Installation


class WorkersKilled(Fault):
    name = "workers-killed"
    does = "SIGKILL of every worker, one after the other, twice"

    def strike(self) -> None:
        for _ in range(2):
            for worker in self.random.sample(WORKERS, len(WORKERS)):
                if worker in self.made.services.running():
                    self.made.services.kill(worker)
                self.hold(self.random.uniform(0.5, 3))


class WorkersEnded(Fault):
    name = "workers-ended"
    does = "SIGTERM of every worker under load, started again"

    def strike(self) -> None:
        for worker in self.random.sample(WORKERS, len(WORKERS)):
            self.made.services.stop(worker)
            self.made.services.start(worker)


class WorkersFrozen(Fault):
    name = "workers-frozen-40s"
    does = "one of two aggregate and one of two Kommo workers stand still (SIGSTOP) for 40 s, beyond their session"

    def strike(self) -> None:
        services = self.made.services
        with_second(self.made, "aggregate", "kommo")
        frozen = [name for name in ("worker-aggregate", "worker-kommo") if name in services.running()]
        for name in frozen:
            services.signal(name, signal.SIGSTOP)
        try:
            self.hold(40)
        finally:
            for name in frozen:
                services.signal(name, signal.SIGCONT)
        without_second(self.made, "aggregate", "kommo")


class WorkersAddedAndRemoved(Fault):
    name = "workers-added-and-removed"
    does = "two and three workers of each kind, removed again by SIGTERM and SIGKILL, under load"

    def strike(self) -> None:
        services = self.made.services
        kinds = ("aggregate", "kommo", "bitrix24", "webhook")
        with_second(self.made, *kinds)
        self.until_calls(4)
        self.made.add_worker("aggregate", "worker-aggregate-third")
        self.until_calls(3)
        services.remove("worker-aggregate-third")
        services.kill("worker-aggregate")
        self.hold(2)
        for kind in self.random.sample(kinds, len(kinds)):
            services.remove(f"worker-{kind}-extra", self.random.choice((signal.SIGTERM, signal.SIGKILL)))
            self.hold(self.random.uniform(0, 3))


def with_second(made: Installation, *kinds: str) -> None:
    """A second worker of each kind, when it holds a partition."""
    for kind in kinds:
        made.add_worker(kind, f"worker-{kind}-extra")


def without_second(made: Installation, *kinds: str) -> None:
    """End the second workers."""
    for kind in kinds:
        made.services.remove(f"worker-{kind}-extra")
