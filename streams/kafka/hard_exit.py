"""The end of a worker that must not go on: nothing is flushed to Kafka or committed on the way."""

import logging
import os
import sys
from typing import NoReturn

import structlog

from streams.errors import UserError

STATUS = 70
"""Exit status: EX_SOFTWARE of sysexits.h. A supervisor starts the worker again."""

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


def end_process(status: int = STATUS) -> NoReturn:
    """End at once: nothing is cleaned up or waited for."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
