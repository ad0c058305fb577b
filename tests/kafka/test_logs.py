"""A worker's log holds every error of asyncio: nothing is filtered out."""

import subprocess
import sys

_PROGRAM = """
import logging
from aiokafka.errors import ProducerFenced
from streams.kafka import logs
from streams.settings import LoggingSettings

logs.configure(LoggingSettings(format="json"))
log = logging.getLogger("asyncio")
log.error("without a traceback", exc_info=False)
log.error("of nothing", exc_info=(None, None, None))
log.error("of a task", exc_info=ProducerFenced("fenced"))
log.info("chatter")
"""


def test_errors_of_asyncio_are_logged_whatever_they_carry() -> None:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Logging error" not in ended.stderr
    lines = ended.stderr.splitlines()
    assert [word for word in ("without a traceback", "of nothing", "of a task", "chatter") if word in ended.stderr] == [
        "without a traceback", "of nothing", "of a task",
    ]  # fmt: skip
    assert len(lines) == 3
