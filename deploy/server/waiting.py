"""Until a server of the installation serves: what its unit waits for before those that need it start."""

import asyncio
import time

from deploy.local.errors import StackError
from deploy.server.layout import Layout
from streams.errors import UserError
from streams.kafka.reach import require_reach
from streams.settings import KafkaSettings

_POLL = 0.3  # seconds


def wait_for(layout: Layout, name: str, seconds: float) -> None:
    """Return when the server answers requests. Raises StackError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not _serves(layout, name):
        if time.monotonic() > deadline:
            raise StackError(
                f"{name} does not answer within {seconds:.0f} s.",
                f"Its log says why: journalctl --namespace cel2crm -u cel2crm-{name} -n 50",
            )
        time.sleep(_POLL)


def _serves(layout: Layout, name: str) -> bool:
    try:
        if name == "kafka":
            asyncio.run(require_reach(KafkaSettings(bootstrap_servers=f"127.0.0.1:{layout.ports['kafka']}"), seconds=5))
            return True
        return layout.part(name).is_ready()
    except (UserError, OSError):  # nothing listens yet
        return False
