"""The end of a worker that must not go on: nothing is flushed to Kafka or committed on the way."""

import logging
import os
import sys
from typing import NoReturn

import structlog

STATUS = 70
"""Exit status: EX_SOFTWARE of sysexits.h. A supervisor starts the worker again."""


def hard_exit(problem: str, error: BaseException | None = None) -> NoReturn:
    """Log the problem and end the process at once.

    A graceful stop would commit offsets of records whose results are not on the topics.
    """
    log = structlog.get_logger("worker")
    log.critical("the worker exits; it will resume from its last checkpoint", problem=problem, exc_info=error)
    end_process()


def end_process() -> NoReturn:
    """End at once: nothing is cleaned up or waited for."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STATUS)
