"""The end of a worker that must not go on: nothing is flushed to Kafka or committed on the way."""

import logging
import os
import sys
import threading
import time
from typing import NoReturn

import structlog

from streams.errors import UserError

STATUS = 70
"""Exit status: EX_SOFTWARE of sysexits.h. A supervisor starts the worker again."""

_PAUSE_SECONDS = 2.0
"""Before a worker begins anew: brokers that answer, and then do not, are not to keep it busy."""

REFUSED = 2
"""Exit status where a person has to mend something first."""


def hard_exit(problem: str, error: BaseException | None = None) -> NoReturn:
    """Log the problem and end the process at once.

    A graceful stop would commit offsets of records whose results are not on the topics.
    """
    log = structlog.get_logger("worker")
    log.critical("the worker exits; it will resume from its last checkpoint", problem=problem, exc_info=error)
    end_process()


def refuse(error: UserError) -> NoReturn:
    """Tell a person what to mend, as the command line does, and end the process at once."""
    sys.stderr.write(f"cel2crm: {error.problem}\n" + (f"  {error.remedy}\n" if error.remedy else ""))
    end_process(REFUSED)


def begin_anew(problem: str) -> NoReturn:
    """Replace the process by a new one with the same arguments: part of what it has begun can only end with it.

    Nothing is flushed or committed on the way.
    """
    log = structlog.get_logger("worker")
    log.warning("the worker begins anew, and waits for the brokers", problem=problem)
    time.sleep(_PAUSE_SECONDS)
    _flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def limit_the_end(seconds: float) -> None:
    """End the process hard where its graceful end does not come in time, whatever the event loop waits for."""
    limit = threading.Timer(seconds, hard_exit, ["the end does not come"])
    limit.daemon = True
    limit.start()


def end_process(status: int = STATUS) -> NoReturn:
    """End at once: nothing is cleaned up or waited for."""
    _flush()
    os._exit(status)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
