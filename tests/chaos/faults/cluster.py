"""Three brokers, one and two of them away."""

import signal

from tests.chaos.fault import Fault
from tests.chaos.services import wait_until


class ClusterFault(Fault):
    """What faults of three brokers share."""

    servers = "three-brokers"


class OneBrokerAway(ClusterFault):
    name = "one-of-three-brokers-away"
    does = "one broker of three is killed and away for 30 s; calls go on meanwhile"

    def strike(self) -> None:
        with self.away(self.random.choice(self.made.stack.brokers)):
            self.hold(10)
            self.until_calls(5)
            self.hold(15)


class TwoBrokersAway(ClusterFault):
    name = "two-of-three-brokers-away"
    does = "two brokers of three are killed and away for 40 s: nothing can be written"

    def strike(self) -> None:
        first, second = self.random.sample(self.made.stack.brokers, 2)
        stack = self.made.stack
        stack.kill(first)
        stack.kill(second)
        self.hold(40)
        stack.start_part(second)
        self.hold(5)
        stack.start_part(first)


class BrokersRestarted(ClusterFault):
    name = "brokers-restarted-in-turn"
    does = "each broker of three is ended by SIGTERM and started again, in turn"

    def strike(self) -> None:
        stack = self.made.stack
        for broker in stack.brokers:
            stack.send_signal(broker, signal.SIGTERM)
            wait_until(lambda b=broker: stack.exit_status(b) is not None, 90, f"{broker} has ended")  # type: ignore[misc]
            stack.start_part(broker)
