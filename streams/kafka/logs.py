"""Log lines of a worker, on standard error: for a person on a terminal, JSON elsewhere unless asked otherwise."""

import logging
import sys

import structlog

from streams.printable import printable, printable_lines
from streams.settings import LoggingSettings

_CHATTY = ("aiokafka", "faust", "mode", "asyncio", "kafka", "streams.kafka.faust_overrides")
"""Their information is ours in other words; warnings and errors are kept."""


def configure(settings: LoggingSettings) -> None:
    """Set up structlog and the standard library's logging, which Faust and aiokafka use."""
    as_console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    last: list[structlog.typing.Processor]
    if as_console:
        last = [_safe_for_terminals, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if settings.level == "debug" else logging.WARNING)


def _safe_for_terminals(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What callers and CRMs chose is shown, not obeyed. JSON escapes it by itself."""
    return {printable(name): _safe(value) for name, value in event.items()}


def _safe(value: object) -> object:
    if isinstance(value, str):
        return printable_lines(value) if "Traceback" in value else printable(value)
    # Numbers keep their colour; the repr of others may hold a text, exc_info and the like go to the renderer.
    return printable(str(value)) if isinstance(value, list | tuple | dict | set) and not _is_exc_info(value) else value


def _is_exc_info(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[1], BaseException | None)
