"""The one broker: killed, stopped, frozen, away."""

import signal

from tests.chaos.fault import Fault
from tests.chaos.installation import WORKERS
from tests.chaos.services import wait_until


class KafkaKilled(Fault):
    name = "kafka-killed"
    does = "SIGKILL of the broker, back after 15 s"

    def strike(self) -> None:
        with self.away("kafka"):
            self.hold(15)


class KafkaStopped(Fault):
    name = "kafka-stopped"
    does = "SIGTERM of the broker, started again at once"

    def strike(self) -> None:
        stack = self.made.stack
        stack.send_signal("kafka", signal.SIGTERM)
        wait_until(lambda: stack.exit_status("kafka") is not None, 90, "the broker has ended")
        stack.start_part("kafka")


class KafkaFrozen(Fault):
    name = "kafka-frozen"
    does = "the broker stands still (SIGSTOP) for 40 s"

    def strike(self) -> None:
        self.made.stack.send_signal("kafka", signal.SIGSTOP)
        try:
            self.hold(40)
        finally:
            self.made.stack.send_signal("kafka", signal.SIGCONT)


class KafkaAway(Fault):
    name = "kafka-away-90s"
    does = "the broker is away for 90 s"
    told = r"broker|Kafka|transaction"

    def strike(self) -> None:
        with self.away("kafka"):
            self.hold(90)


class KafkaAwayAtStart(Fault):
    name = "kafka-away-at-start"
    does = "the workers are started while the broker is away for 90 s"
    told = r"no Kafka broker|broker"

    def strike(self) -> None:
        services = self.made.services
        for worker in WORKERS:
            services.stop(worker)
        with self.away("kafka"):
            for worker in WORKERS:
                services.start(worker)
            self.hold(90)
