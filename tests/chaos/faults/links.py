"""Networks between the parts: slow, cut, silent."""

from tests.chaos.fault import Fault
from tests.chaos.oracle import PORTALS


class SlowLinks(Fault):
    name = "links-slow"
    does = "every link delays what it carries by 0.3 s, for 30 s"

    def strike(self) -> None:
        for link in self.made.links.by_name.values():
            link.delay_seconds = 0.3
        self.hold(30)
        self.made.links.restore()


class KafkaLinkCut(Fault):
    name = "kafka-link-cut"
    does = "workers and commands do not reach the broker for 20 s"

    def strike(self) -> None:
        self.made.links.cut(*self.made.stack.brokers)
        self.hold(20)
        self.made.links.restore()


class KafkaLinkSilent(Fault):
    name = "kafka-link-silent"
    does = "connections to the broker stay open and carry nothing for 45 s"

    def strike(self) -> None:
        for broker in self.made.stack.brokers:
            self.made.links[broker].silent = True
        self.hold(45)
        self.made.links.restore()


class ConnectionsBroken(Fault):
    name = "connections-broken"
    does = "every connection is broken five times, a few seconds apart"

    def strike(self) -> None:
        for _ in range(5):
            self.made.links.break_connections(*self.made.links.by_name)
            self.hold(self.random.uniform(1, 4))


class PortalLinksCut(Fault):
    name = "portal-links-cut"
    does = "no portal can be reached for 25 s"

    def strike(self) -> None:
        self.made.links.cut(*PORTALS)
        self.hold(25)
        self.made.links.restore()


class PortalLinksSilent(Fault):
    name = "portal-links-silent"
    does = "requests to the portals get no answer for 15 s: their outcome is unknown"

    def strike(self) -> None:
        for portal in PORTALS:
            self.made.links[portal].silent = True
        self.hold(15)
        self.made.links.restore()


class DatabaseLinkCut(Fault):
    name = "database-link-cut"
    does = "Connect does not reach the database for 20 s"

    def strike(self) -> None:
        self.made.links.cut("mariadb")
        self.hold(20)
        self.made.links.restore()


class DatabaseLinkSilent(Fault):
    name = "database-link-silent"
    does = "Connect's connection to the database carries nothing for 90 s"
    told = r"sign of life|database"

    def strike(self) -> None:
        self.made.links["mariadb"].silent = True
        self.hold(90)
        self.made.links.restore()
