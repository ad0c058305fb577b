"""Operators' commands and a token refresh that are killed in the middle.

The product has no fail points. The middle is found from outside: the command's effect on a topic is watched while the
link to the broker is slowed down, so that what it does takes long enough to be hit; the process gets SIGKILL at the
first sign. A token refresh is hit while the portal, which has used the refresh token up, holds its answer back.
"""

import time

from tests.chaos.brokers import Brokers
from tests.chaos.fault import Fault
from tests.chaos.faults.topics import TopicFault
from tests.chaos.services import NotReached, command_line, wait_until

_LETTERS = 1200
_SLOW = 0.05


class KilledCommand(Fault):
    """What faults of commands share."""

    _number = 0

    def kill_in_the_middle(self, topic: str, records: int, *words: str, partitions: int = 4) -> None:
        """Run a command, and kill it when so many records of its own are on a topic. Raises NotReached."""
        made, brokers = self.made, Brokers(self.made)
        wanted = brokers.total(topic, partitions) + records
        KilledCommand._number += 1
        name = f"command-{KilledCommand._number}"
        for broker in made.stack.brokers:
            made.links[broker].delay_seconds = _SLOW
        try:
            made.stack.run(name, command_line(*words, settings=made.settings_file))
            deadline = time.monotonic() + 120
            while brokers.total(topic, partitions) < wanted:
                if made.stack.exit_status(name) is not None:
                    said = made.stack.log(name).read_text(encoding="utf-8")
                    raise NotReached(f"{words} ended before its middle: {said[-500:]}")
                if time.monotonic() > deadline:
                    raise NotReached(f"{words} does not come to its middle")
            if made.stack.kill(name) >= 0:
                raise NotReached(f"{words} ended before it was killed")
        finally:
            made.links.restore()


class BackfillKilled(KilledCommand, TopicFault):
    name = "backfill-killed"
    does = (
        "rows expire unread; the backfill is killed after its signal, again while it orders deliveries, and given anew"
    )
    remedies = ("backfill",)
    only_workers = True

    def strike(self) -> None:
        made = self.made
        ((first,),) = made.sql("select max(id) + 1 from cel")
        with self.stopped("worker-aggregate"):
            self.until_captured(100)
            Brokers(made).expire("cel")
        self.until_calls(1)
        words = ("backfill", "--since", str(first), "--deliver", "--yes")
        self.kill_in_the_middle("signals", 1, *words, partitions=1)
        self.kill_in_the_middle("delivery-commands", 1, *words)
        said = made.cel2crm(*words)
        if said.status:
            raise NotReached(f"the backfill ended with status {said.status}: {said.text[-500:]}")


class RetryKilled(KilledCommand):
    name = "dead-letters-retry-killed"
    does = f"`dead-letters retry` of {_LETTERS} unreadable rows is killed after its first resolutions, and given anew"

    def strike(self) -> None:
        made, brokers = self.made, Brokers(self.made)
        before = brokers.total("dead-letters")
        brokers.produce("cel", [(b"poison-%d" % n, b"garbage %d" % n, None) for n in range(_LETTERS)])
        wait_until(lambda: brokers.total("dead-letters") >= before + _LETTERS, 90, "the dead letters have come")
        words = ("dead-letters", "retry", "--component", "aggregate", "--reason", "unreadable_row", "--yes")
        self.kill_in_the_middle("dead-letter-resolutions", 1, *words)
        for _ in range(2):
            said = made.cel2crm(*words)
            if said.status:
                raise NotReached(f"the retry ended with status {said.status}: {said.text[-500:]}")
        made.cel2crm("dead-letters", "drop", "--component", "aggregate", "--reason", "unreadable_row", "--yes")


class TokenRefreshKilled(Fault):
    name = "token-refresh-killed"
    does = "the Kommo worker is killed while its token refresh is under way: the refresh token is used up"
    told = r"authorise"
    remedies = ("portal authorise",)

    def strike(self) -> None:
        made = self.made
        made.order("kommo", "faults", {"mode": "slow", "seconds": 5, "methods": ["token"], "times": 1})
        before = self._token_requests()
        made.order("kommo", "expire-tokens")
        wait_until(lambda: self._token_requests() > before, 60, "the worker asks for another token")
        made.services.kill("worker-kommo")
        self.until_calls(2)

    def _token_requests(self) -> int:
        """How many have come to the portal, answered or not."""
        return len([line for line in self.made.ask_portal("kommo", "log") if line["operation"] == "token"])
